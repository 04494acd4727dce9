# The project with its environment, for a cluster's container runtime (docs/cluster/slurm.md). Without an NVIDIA GPU:
#   docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu -t leukemia-search .
FROM python:3.12-slim-bookworm
ARG TORCH_INDEX=
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends git make procps \
    && rm -rf /var/lib/apt/lists/* && useradd --create-home --uid 1000 search
# Not in a home directory: Apptainer puts the user's own over /home.
COPY --chown=1000 . /opt/leukemia-search
WORKDIR /opt/leukemia-search
RUN chown 1000 .
USER 1000
RUN make setup TORCH_INDEX="$TORCH_INDEX"
ENV PATH=/opt/leukemia-search/.venv/bin:$PATH
CMD ["python", "-m", "search.run", "--help"]
