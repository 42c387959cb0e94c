"""No personal data that a pattern can tell."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from synth.errors import Rejected
from synth.text import subject
from synth.types import Sample, Value

EMAIL = re.compile(r"(?<![\w.+-])([\w.+-]{1,64})@((?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,24})(?![\w-])", re.ASCII)
NOBODY = re.compile(
    r"(?:example|sample|test|domain|yourdomain|company|email|mail|website|mycompany|site|school|university|business)\.(?:[a-z.]+)\Z|.*\.(?:test|example|invalid|localhost)\Z|(?:.*\.)?example\.",
    re.IGNORECASE,
)
"""Domains kept for examples (RFC 2606), and those that writers make up."""
ROLE = re.compile(
    r"(?:info|support|contact|sales|admin|webmaster|postmaster|no-?reply|help|office|press|hello|user(?:name)?|name|your.*|someone|me|git)\Z",
    re.IGNORECASE,
)
PHONE = re.compile(
    r"(?<![\d-])(?:\+81[ -]?\d{1,4}[ -]?\d{1,4}[ -]?\d{4}|0[5789]0-?\d{4}-?\d{4}|0\d{1,3}[-(]\d{2,4}[-)]\d{4}|"
    r"\+[1-9]\d{0,2}[ .-]\(?\d{2,4}\)?(?:[ .-]\d{2,4}){2,3}|\(\d{3}\) ?\d{3}[-. ]\d{4}"
    r"|\d{3}[-.]\d{3}[-.]\d{4})(?![\d-])"
)
NO_PHONE = re.compile(r"0120|0800|0570|1?800|1?888|.*1234|.*12345|.*5678\Z|(\d)\1+\Z|\d*55501\d\d\Z")
"""Free calls, numbers written as examples, and those reserved for fiction."""
CARD = re.compile(
    r"(?<![\d-])(?:[3-6]\d{3}([ -])\d{4}\1\d{4}\1\d{4}|3[47]\d{2}([ -])\d{6}\2\d{5}|[3-6]\d{14,15})(?![\d-])"
)
CARD_WORD = re.compile(r"card|visa|master|amex|カード|クレジット", re.IGNORECASE)
MY_NUMBER = re.compile(r"(?<![\d-])\d{4}([ -]?)\d{4}\1\d{4}(?![\d-])")
MY_NUMBER_WORD = re.compile(r"マイナンバー|個人番号|my ?number|individual number", re.IGNORECASE)
WEIGHTS = (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)
SSN = re.compile(r"(?<![\d-])(?!000|666|9\d\d|123-45-6789|078-05-1120)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])")
ADDRESS = re.compile(
    r"〒? ?\d{3}-\d{4}\s*(?:北海道|東京都|(?:京都|大阪)府|[一-鿿]{2,3}県)[^\s。、]{2,12}?[市区町村郡][^\s。、]{0,16}?\d"
)
DIGIT = re.compile(r"\d")
FEWEST_DIGITS = 9


class Pii(Value):
    """Refuse a text with personal data that has a form: e-mail, telephone, payment card, My Number, US social security
    number, Japanese postal address.

    It works on patterns and check digits alone: names, and addresses without a postal code, are not seen. Data that
    belongs to nobody is let through: example domains, role mailboxes, free calls, numbers of fiction.
    """

    kind: Literal["pii"] = "pii"

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`pii`)."""
        detail = find_pii(subject(sample))
        if detail is not None:
            raise Rejected("pii", detail)


def find_pii(text: str) -> str | None:
    """The kind of personal data found in a text, with its first characters; None when there is none."""
    mailed, many = "@" in text or "＠" in text, len(DIGIT.findall(text)) >= FEWEST_DIGITS
    if not mailed and not many:
        return None
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    for mail in EMAIL.finditer(plain) if mailed else ():
        if not (NOBODY.match(mail[2]) or ROLE.match(mail[1])):
            return f"an e-mail address: {mail[0][:3]}..."
    if not many:
        return None
    for card in CARD.finditer(plain):
        digits = re.sub(r"\D", "", card[0])
        if _luhn(digits) and (len(card[0]) > len(digits) or CARD_WORD.search(plain)):
            return f"a payment card number: {card[0][:4]}..."
    for number in MY_NUMBER.finditer(plain):
        digits = re.sub(r"\D", "", number[0])
        if _check_digit(digits) == int(digits[-1]) and MY_NUMBER_WORD.search(plain):
            return f"a My Number: {number[0][:4]}..."
    if social := SSN.search(plain):
        return f"a social security number: {social[0][:3]}..."
    for phone in PHONE.finditer(plain):
        if not NO_PHONE.match(re.sub(r"\D", "", phone[0])):
            return f"a telephone number: {phone[0][:4]}..."
    address = ADDRESS.search(plain)
    return None if address is None else f"a postal address: {address[0][:6]}..."


def _luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def _check_digit(digits: str) -> int:
    """Of a My Number: Ministry of Internal Affairs and Communications, ordinance 85 of 2014, article 5."""
    rest = sum(weight * int(digit) for weight, digit in zip(WEIGHTS, digits, strict=False)) % 11
    return 0 if rest <= 1 else 11 - rest
