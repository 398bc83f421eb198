"""The closed word tables behind commands and replies, and the folding that makes them match what phones really send.

Data only: what a word leads to is decided in `keywords` and `reply`. Words stand here as people write them; they are
folded once, when the module is loaded, by the same function that folds the texts.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final

TEXT_CHARACTERS_MAX: Final = 1600
"""Ten segments; what is longer is no reply, and only its beginning is read."""

QUESTION_MARKS: Final = frozenset("?\u00bf\u061f\u055e\u1367\u2e2e\ua60f")
_APOSTROPHES: Final = frozenset("'\u2018\u2019\u02bc\u0060\u00b4\u2032")
# Letters of Greek and Cyrillic whose capital is drawn like a Latin capital, in lower case.
_LOOK_ALIKES: Final = str.maketrans("αβεζηικμνορτυχавекмнорстух", "abezhikmnoptyxabekmhopctyx")
_SPLIT_NEGATION: Final = re.compile(r"\b(do|ca|wo|did|does|is|would|should|could|have)(?:n t| nt)\b")
# Some SMSCs end a text with NUL. White space stays.
_CONTROLS: Final = dict.fromkeys([*range(9), *range(14, 28), 127])


def fold(text: str) -> str:
    """Lower case, full-width to ASCII, digits of any script to 0-9; no marks, apostrophes or invisible characters."""
    # The Greek question mark is folded into a semicolon by NFKC, and would be lost as a question.
    composed = unicodedata.normalize("NFKC", text[:TEXT_CHARACTERS_MAX].replace("\u037e", "?")).casefold()
    composed = composed[:TEXT_CHARACTERS_MAX]  # One character may compose to eighteen.
    if composed.isascii():
        return _SPLIT_NEGATION.sub(r"\1nt", composed.translate(_CONTROLS).replace("'", "").replace("`", ""))
    kept = [_folded(c) for c in unicodedata.normalize("NFD", composed)]
    return _SPLIT_NEGATION.sub(r"\1nt", unicodedata.normalize("NFC", "".join(kept)))


def _folded(character: str) -> str:
    if character.isascii():
        return "" if character in _APOSTROPHES or ord(character) in _CONTROLS else character
    kind = unicodedata.category(character)
    if kind == "Nd":
        return str(unicodedata.decimal(character))
    if kind[0] in "MC" or kind == "Sk" or character in _APOSTROPHES:
        # Marks, formats (bidi, zero width), controls, skin tones. A line break is ASCII and was kept above.
        return ""
    return character


def squeeze(word: str) -> str:
    """`nooo` to `no`, `yesss` to `yes`: runs of three and more of one letter become one."""
    return re.sub(r"([^\W\d])\1{2,}", r"\1", word)


def _table(*words: str) -> frozenset[str]:
    """Folded words out of lines of them, parted by commas."""
    return frozenset(fold(word.strip()) for line in words for word in line.split(",") if word.strip())


AFFIRMATIVE: Final[Mapping[str, frozenset[str]]] = {
    "en": _table(
        "yes, y, yeah, yea, yep, yup, yess, ok, okay, okey, oky, oki, okk, sure, fine, alright, all right, of course",
        "agree, agreed, i agree, accept, accepted, i accept, confirm, confirmed, i confirm, approve, i approve",
        "approved, authorise, authorize",
        "pay, to pay, i pay, pay it, pay now, i want to pay, i would like to pay, let me pay",
        "confirm payment, i confirm payment, make payment, make the payment, pay with code, use code, i agree to pay",
        "proceed, continue, go ahead, do it, now, it is, here it is, here, here is, this is",
        # Naming what follows is no second opinion about it; `is the code` is not here.
        "code, the code, my code, code is, the code is, my code is, pin, my pin is, pin is",
        # Politeness carries no meaning of its own.
        "please, pls, plz, plse, kindly, thanks, thank you, thank u, thx, tnx, thanx, sir, madam, boss",
    ),
    # English loans are everyday Swahili by SMS; refusing them would refuse half of Nairobi.
    "sw": _table(
        "ndio, ndiyo, ndyo, naam, sawa, sawa sawa, sawasawa, haya, poa, ni sawa, yes, ok, okay, okey, eeh, ee, ehe",
        "lipa, kulipa, nalipa, ninalipa, nilipie, lipia, nataka kulipa, naomba kulipa, lipa sasa, lipa tu, pay, sasa",
        "kubali, nakubali, ninakubali, nimekubali, thibitisha, nathibitisha, ninathibitisha, thibitisha malipo",
        "endelea",
        "namba, namba ni, namba yangu ni, nambari ni, code, code ni, code yangu ni, msimbo, msimbo ni",
        "tafadhali, tafadhari, asante, asante sana, ahsante, ahsante sana, please, mkuu, bosi",
    ),
    "fr": _table(
        "oui, ouais, ok, okay, d'accord, daccord, entendu, bien sur, certainement, c'est bon, parfait, volontiers",
        "payer, payez, paie, je paie, je paye, pour payer, je veux payer, je souhaite payer, maintenant",
        "confirmer, confirme, je confirme, accepter, accepte, j'accepte, valider, valide, je valide, allez y, vas y",
        "code, le code, mon code, le code est, mon code est, code est, voici, voici le code, voici mon code",
        "s'il vous plait, s'il te plait, svp, stp, merci, merci beaucoup, merci bien",
    ),
    "zh": _table(
        "付款, 支付, 付, 付钱, 付錢, 确认, 確認, 确定, 確定, 同意",
        "是, 是的, 好, 好的, 好吧, 行, 可以, 对, 對, 对的, 嗯, ok",
        "我, 我要付, 我要付款, 我要支付, 我同意, 我确认, 我確認, 我付, 验证码, 驗證碼, 验证码是, 驗證碼是, 码, 碼",
        "请, 請, 谢谢, 謝謝, 谢, 謝",
    ),
}
"""By language, words and phrases that may stand beside a code in a confirmation."""

AFFIRMATIVE_MARKS: Final = frozenset("👍👌🙏✅✔☑🆗🙂😊😀😃❤")
NEGATIVE_MARKS: Final = frozenset("👎❌✖🚫🙅⛔🛑✋")

POLITE: Final = _table(
    "please, pls, plz, kindly, thanks, thank, you, thx, sorry, sir, madam, tafadhali, asante, sana, ahsante, samahani",
    "merci, svp, stp, desole, beaucoup, 请, 請, 谢谢, 謝謝, the, it, this, to, i, we, me, that",
)
"""What may stand beside `0`, STOP and the like without changing what they say."""

NEGATIVE: Final = _table(
    "no, not, nope, nop, nah, naa, noo, never, dont, dnt, doesnt, didnt, wont, cant, cannot, couldnt, wouldnt",
    "shouldnt, isnt, wasnt, arent, aint, havent, hasnt, refuse, refused, refusing, reject, rejected",
    "decline, declined, deny, denied, disagree, cancel, canceled, cancelled, abort, stop",
    "none, nothing, nobody, neither, without, unauthorised",
    "unauthorized, zero",
    "hapana, hapanna, sitaki, sitataki, sikubali, kataa, nakataa, ninakataa, nimekataa, tumekataa, kukataa, sio, siyo",
    "hakuna, ghairi, nimeghairi, naghairi, futa, acha, wacha, sitisha, siwezi, sihitaji, hatutaki, katisha, sifuri",
    "non, nan, pas, jamais, refuser, refus, annuler, annule, annulez, aucun, aucune, rien, sans, ne, nest, arret",
    "nunca, jamas, nada, rechazo, rechazar, cancelar, cancelo, nao, recuso, recusar, nenhum",
    "nein, nicht, kein, keine, keinen, niemals, ablehnen, ablehne, nee, niet, geen, nooit, nej, inte, ikke, nei, nie",
    "annulla, rifiuto, rifiutare, нет, не, никогда, отказ, отмена, отмени, ні, нема, nyet, οχι, δεν, μην",
    "hayir, hayır, yok, degil, istemiyorum, iptal, tidak, jangan, bukan, enggak, nggak, batal, tolak, ayaw, huwag",
    "khong, không, nahi, nahin, nahiin, nedda, tsia, tsy, hayi, beko, akuna",
    "لا, ليس, ليست, لم, لن, كلا, ارفض, أرفض, رفض, مرفوض, إلغاء, الغاء, نه, نخیر, خیر, نمی, نمیخواهم, لغو, نہیں, نہ, نا",
    "नहीं, नही, मत, ना, रद्द, না, நிறுத்து, இல்லை, வேண்டாம், వద్దు, లేదు, אל, לא, አይ, አይደለም, አልፈልግም, የለም",
    "아니, 아니요, 아니오, 아뇨, 안돼, 안, 싫어, 취소, 거절",
)
# Swahili puts its negation into the verb: silipi, sitalipa, sijaagiza, usilipe, hatutanunua ...
NEGATIVE_VERB: Final = re.compile(
    r"(?:si|sita|siku|sija|singe|usi|msi|tusi|hatu|hatuta|hatuja|hatuku|hai|haita|haija|ha|hawa)"
    r"(?:lip|tak|kubal|nunu|agiz|omb|hitaj|tum|thibitish|idhinish)\w*"
)
NEGATIVE_WITHIN: Final = _table(
    "不, 没, 沒, 别, 別, 勿, 否, 非, 未, 無, 无, 拒, 取消, いいえ, いや, ない, ません, だめ, キャンセル, ไม่, ยกเลิก"
)
"""Negations of scripts that put no spaces between words: anywhere in a run."""

DOUBLE_EDGED: Final = _table(
    "no problem, no prob, no worries, why not, not sure, no idea, not yet, is it not, no need to worry, no doubt",
    "hakuna shida, hakuna matata, hakuna tatizo, pas de probleme, pas de souci, sans probleme, sans souci",
    "pourquoi pas",
    "是不是, 要不要, 好不好, 可不可以, 行不行, 对不对, 對不對, 能不能, 付不付",
    "没问题, 沒問題, 不错, 不錯, 对不起, 對不起",
)
"""They hold a negation and yet refuse nothing: unclear, whatever stands beside them."""

NEGATIVE_ALONE: Final = _table("la, laa, n, na, cha, oya, maya, mba, ei, hindi, tak, mai")
"""They refuse only when nothing but politeness and a code stands with them; inside a sentence they say other things."""

STOP: Final = _table(
    "stop, stopall, unsubscribe, optout, sitisha, komesha, simamisha, arreter, arretez, desabonner",
    "停止, 退订, 退訂, 取消订阅, 取消訂閱, 停",
)
STOP_WITHIN: Final = _table("停止, 退订, 退訂, 取消订阅, 取消訂閱")
"""Those that also count inside a run of Han, where no space parts them from their neighbours; 停 begins 停車."""
STOP_ALONE: Final = _table("end, quit, revoke, opt out, arret, stopp, simama")
"""Opt-out words of the carriers that also begin ordinary sentences. CANCEL is no opt-out to us: it refuses."""
ALL: Final = _table("all, everything, zote, yote, wote, tout, tous, toutes, 全部, 所有")
START: Final = _table("start, unstop, restart, anza, anzisha, demarrer, reprendre, commencer, 开始, 開始, 恢复, 恢復")
HELP: Final = _table("help, info, msaada, usaidizi, saidia, nisaidie, aide, 帮助, 幫助, 帮忙, 幫忙, 客服, 説明, 说明")
HISTORY: Final = _table(
    "hist, history, statement, transactions, historia, taarifa, miamala, releve, historique",
    "明细, 明細, 记录, 記錄, 账单, 帳單, 查询, 查詢",
)
RECEIPT: Final = _table("receipt, reciept, rcpt, risiti, stakabadhi, recu, justificatif, 收据, 收據, 收条, 小票")
RECEIVED: Final = _table("ok, okay, received, nimepokea, sawa, 收到")
DISPUTE: Final = _table("dispute, mgogoro, litige, 争议, 爭議")
CLAUSE_BEGINS: Final = _table("., !, ;, ?, i, but, so, and, je, mais, donc, lakini, na, 但, 所以") | {","}
"""A no before one of these is about something else: `it never came, I dispute`."""
TEXT_IT: Final = _table("text, tuma, envoyez, 回")
"""By these our own texts tell how to dispute; a copy of one disputes nothing."""
FORWARDED: Final = _table("fwd, fw, tr")
PAID: Final = _table("paid, umelipa, imelipwa, paye, 已付")
"""The first word of a receipt."""
RECEIPT_ENDS: Final = _table(
    "we, never, ask, for, your, pin, by, text, goods, the, shop, money, call",
    "hatuombi, pin, yako, kwa, sms, kamwe, kuhusu, bidhaa, uliza, duka, pesa, piga",
    "nous, ne, demandons, jamais, votre, pin, par, sms, articles, voyez, la, boutique, argent, appelez",
    "我們不以簡訊問, 客服",
)
"""What stands behind the last ref of a receipt."""
REPORT: Final = _table("report, ripoti, signaler, 举报, 舉報")
STATUS: Final = _table("status, hali, suivi, statut, etat, 进度, 進度, 状态, 狀態")
MORE: Final = _table("more, zaidi, suite, 更多")
LANGUAGE: Final = _table("lang, language, lugha, langue, 语言, 語言")
LANGUAGE_NAMES: Final[Mapping[str, frozenset[str]]] = {
    "en": _table("en, eng, english, kiingereza, anglais, 英文, 英语, 英語"),
    "sw": _table("sw, swa, swahili, kiswahili, 斯瓦希里, 斯瓦希里语, 斯瓦希里語"),
    "fr": _table("fr, fra, french, francais, kifaransa, 法文, 法语, 法語"),
    "zh": _table("zh, chinese, kichina, chinois, mandarin, 中文, 汉语, 漢語, 华语, 華語, 国语, 國語"),
}
"""By primary subtag, what people call a language. Whether we write it is not known here."""
LIMIT: Final = _table("limit, kikomo, plafond, limite, 上限, 限额, 限額")
BALANCE: Final = _table("bal, balance, salio, solde, 余额, 餘額")
A_DAY: Final = _table(
    "a day, per day, each day, every day, daily, kwa siku, kila siku, par jour, 每天, 每日, 一天, only, tu"
)
"""What may stand behind the amount of a limit without changing it."""
PAY: Final = _table("pay, lipa, lipia, payer, payez, 付款, 支付, 付")
TOWARDS: Final = _table("to, for, at, kwa, a, au, chez, 给, 給, 向")
"""Between an amount and a shop: `PAY 1250 TO ASHA`."""

NO_SHOP: Final = POLITE | _table(
    "with, by, using, from, of, my, mine, your, yours, a, an, and, or, for, at, in, on, code, number, pin, money, all",
    "bill, now, today, later, tomorrow, them, him, her, us, you, he, she, they, one, back",
    "if, when, how, what, who, is",
    "na, ya, wa, kwa, za, hiyo, hii, hizo, sasa, leo, kesho, baadaye, pesa, namba, yangu, deni, bili, ile",
    "le, les, un, une, des, du, de, avec, par, pour, mon, ma, mes, moi, lui, ca, cela, maintenant, demain, facture",
)
"""Words that no shop has for its whole name, so that `PAY WITH 4821` looks for no shop called WITH."""

ECHO: Final = _table("reply, jibu, repondez, 回, 请回, 請回, 回复, 回覆")
"""The verbs of our own asks. A long text that holds one of them and a live code is a copy of an ask."""


def words_of(tables: Iterable[frozenset[str]]) -> frozenset[str]:
    """The single words of *tables*, phrases taken apart."""
    return frozenset(word for table in tables for phrase in table for word in phrase.split())


CONSENT_WORDS: Final = words_of(AFFIRMATIVE.values())


HAN_BEFORE: Final = _table("请, 請, 我要, 我想, 我想要, 我的, 看, 查")
"""What people write before a command in one run with it: 请帮助, 我的明细."""

COMMAND_WORDS: Final = words_of(
    (STOP, STOP_ALONE, START, HELP, HISTORY, MORE, LANGUAGE, LIMIT, BALANCE, RECEIPT, DISPUTE, REPORT, STATUS, PAY)
)
_KEYWORDS: Final = CONSENT_WORDS | NEGATIVE | COMMAND_WORDS


def latin(word: str) -> str:
    """The keyword that *word* is drawn like in Greek or Cyrillic letters; else *word* itself."""
    if word.isascii():
        return word
    drawn = word.translate(_LOOK_ALIKES)
    return drawn if drawn in _KEYWORDS else word


def is_reserved(word: str) -> bool:
    """Whether a merchant may not have *word* for a keyword, because a reply or a command says it."""
    folded = latin(fold(word))
    return folded in _KEYWORDS or any(folded in table for table in (NEGATIVE_ALONE, ALL, TOWARDS, NO_SHOP, ECHO))
