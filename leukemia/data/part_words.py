"""Words for the parts of a split, in the languages of many data sets."""

from __future__ import annotations

import unicodedata

TRAIN, VALIDATION, TEST = "train", "validation", "test"

_WORDS = {
    TRAIN: (
        "train training trainings entrainement apprentissage entrenamiento treino treinamento addestramento egitim "
        "обучение обучающая тренировка 训练 训练集 訓練 訓練集 学習 훈련"
    ),
    VALIDATION: (
        "val valid validation dev validierung validacion validacao validazione dogrulama валидация "
        "验证 验证集 驗證 驗證集 検証 검증"
    ),
    TEST: "test testing tests teste prueba pruebas тест 测试 测试集 測試 測試集 テスト 테스트",
}


def plain(text: str) -> str:
    """The text in lower case, without blanks around it and without accents.

    >>> plain(" Entraînement"), plain("EĞİTİM")
    ('entrainement', 'egitim')
    """
    parts = unicodedata.normalize("NFKD", text.strip().casefold())
    return unicodedata.normalize("NFC", "".join(each for each in parts if not "\u0300" <= each <= "\u036f"))


PART_WORDS = {plain(word): part for part, words in _WORDS.items() for word in words.split()}
"""``TRAIN``, ``VALIDATION`` or ``TEST``, by plain word."""
