"""Words that suggest a class without being known: they rank proposals and raise doubts, but never label an image."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from leukemia.data.classes import NAMED
from leukemia.data.part_words import plain

_NORMAL = re.compile(
    r"(?<!ab)(?<!un)normal|health|gesund|\bsan[oai]s?\b|\bsadi[oa]s?\b|\bsaine?s?\b|temoin|[ck]ontrol|benign|\bhem\b"
    r"|正常|健康|здоров|норм|정상"
)
_LEUKEMIC = re.compile(
    r"leuk(?:a?e|a)m|leucem|malign|cancer|krebs|tumou?r|blast(?!oma)|\b(?:[bt] )?all\b"
    r"|\b(?:aml|apl|cll|cml|mds|lma|lla|lmc|llc)\b|abnormal|anormal|白血病|лейкем|백혈병"
)
# Of a test for the disease, if the name has no other word: leukemic cells may be negative for a marker.
_RESULTS = {
    **dict.fromkeys("neg negative negativ negativo negativa negatif".split(), 0),
    **dict.fromkeys("pos positive positiv positivo positiva positif".split(), 1),
}
# Precursors of red cells and bone-forming cells are no leukemic blasts.
_OTHER_BLASTS = re.compile(r"(?:erythro|normo|pronormo|megalo|megakaryo|fibro|osteo|rubri)blast\w*")
_NEGATION = re.compile(r"\b(?:non|not|no|without|ohne|kein[e]?|sin|sans|sem|senza)\b")


# A data set has few words and many images.
@lru_cache(maxsize=1024)
def hinted_label(text: str) -> int | None:
    """The label that a name of a class suggests: 0 normal, 1 leukemic; None if it suggests neither, or both.

    >>> [hinted_label(text) for text in ("ALL", "Leucémie aiguë", "lymphoblast (L2)", "all cells", "erythroblast")]
    [1, 1, 1, None, None]
    >>> [hinted_label(text) for text in ("sanos", "témoins", "normal lymphocyte", "abnormal", "no leukemia", "M3")]
    [0, 0, 0, 1, None, None]
    >>> [hinted_label(text) for text in ("POS", "negativo", "CD10 pos")]
    [1, 0, None]
    """
    if (label := NAMED.label(text)) is not None:
        return label
    # In a phrase, ``all`` is a class only in capitals.
    words = [word for word in re.split(r"[\W_]+", unicodedata.normalize("NFC", text)) if word != "all"]
    form = _OTHER_BLASTS.sub("", plain(" ".join(words)))
    if form in _RESULTS:
        return _RESULTS[form]
    if _NEGATION.search(form):
        return None
    found = {label for label, words_of in enumerate((_NORMAL, _LEUKEMIC)) if words_of.search(form)}
    return found.pop() if len(found) == 1 else None
