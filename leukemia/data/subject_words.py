"""Words for patients in the names of columns, in the languages of many data sets."""

from __future__ import annotations

import re

from leukemia.data.part_words import plain

_OWNERS = (
    "subj subject subjects pat patient patients case cases person persons donor donors participant participants "
    "individual individuals proband probands mrn pid patienten patientin fall spender sujet malade dossier cas donneur "
    "paciente pacientes sujeto caso donante expediente sujeito prontuario doador paziente pazienti soggetto donatore "
    "cartellaclinica historiaclinica ipp pt "
    "historia nhc doente doentes utente utentes pessoa persona persone personne malades patiente patientes "
    "patientinnen proefpersoon persoon personen deelnemer patienter personer forsoksperson deltagare "
    "deltager deltaker potilaat henkilo koehenkilo hastalar kisi denek vaka pacjenci osoba dawca pacient pacienti "
    "beteg pacientul pacientas patsient pacijent pacijenti ασθενης ασθενεις пациентка пациенты донор пацієнт пациентът "
    "hasta pacjent potilas pasient пациент 患者 病人 病例 病历 受试者 住院 患者さん 症例 被験者 환자"
)
_NUMBERS = (
    "id ids no nr num number name code key identifier uid nummer kennung kurzel numero identifiant nom codigo nombre "
    "nome codice identificador identificativo n номер 编号 号 号码 序号 姓名 番号 名 번호"
)
_BEFORE = "anon anonymized anonymised orig original study"
_LINKS = "de du des del della do da di of"

_COLUMN = re.compile(
    "({before})?(({number})({link})?)?({owner})({number})?".format(
        before="|".join(_BEFORE.split()),
        number="|".join(map(plain, _NUMBERS.split())),
        link="|".join(_LINKS.split()),
        owner="|".join(map(plain, _OWNERS.split())),
    )
)


def looks_like_subjects(column: str) -> bool:
    """Whether a column of this name may have subjects.

    >>> [looks_like_subjects(name) for name in ("Patient ID", "subject", "case_no", "patient_age", "Path")]
    [True, True, True, False, False]
    >>> [looks_like_subjects(name) for name in ("Pt.", "Pt. no.", "IPP", "PtO2")]
    [True, True, True, False]
    >>> [looks_like_subjects(name) for name in ("Fallnummer", "N° de dossier", "código del paciente", "患者编号")]
    [True, True, True, True]
    """
    return _COLUMN.fullmatch(re.sub(r"[\W_]", "", plain(column))) is not None
