"""The practice teacher writes problems with answers and programming tasks with tests, and writes the functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from synth.backends.practice.playing import count_in, listed, spoilt
from synth.backends.practice.questions import TASKS
from synth.backends.practice.reading import read
from synth.backends.practice.said import Asked, Said, Truth


@dataclass(frozen=True, slots=True)
class Function:
    """A function that can be asked for with numbers of one's own, with its code, a wrong one, and its tests."""

    name: str
    words: Mapping[str, str]
    how: Mapping[str, str]
    code: str
    wrong: str
    """What stands in place of the last line."""
    tests: Callable[[int], tuple[str, ...]]


FUNCTIONS = (
    Function(
        "with_surcharge",
        {
            "en": "A parcel service adds {n} cents to every price. Write `with_surcharge(prices)`, which "
            "takes a list of "
            "prices in cents and returns them in the same order with the surcharge, and an empty list for an "
            "empty list.",
            "ja": "宅配の会社が、どの料金にも{n}円を加えることになりました。料金のリストを受け取り、"
            "{n}円を加えたリストを同じ順に返す"
            "関数`with_surcharge(prices)`を書いてください。空のリストには空のリストを返します。",
        },
        {"en": "It adds the surcharge to each price in turn.", "ja": "料金に一つずつ加算額を足します。"},
        "def with_surcharge(prices: list[int]) -> list[int]:\n"
        '    """{doc}"""\n'
        "    return [price + {n} for price in prices]",
        "    return [price + {n} for price in prices][1:]",
        lambda n: (f"assert with_surcharge([100, 250]) == [{100 + n}, {250 + n}]", "assert with_surcharge([]) == []"),
    ),
    Function(
        "longer_than",
        {
            "en": "A printer cannot set words of more than {n} letters. Write `longer_than(words)`, which "
            "returns the words "
            "of a list that have more than {n} letters, in their order and each only once.",
            "ja": "ラベルには{n}文字までしか印字できません。言葉のリストを受け取り、{n}文字を超える言葉を、"
            "出てきた順に一度ずつ返す"
            "関数`longer_than(words)`を書いてください。",
        },
        {"en": "It keeps each word once when it is too long.", "ja": "長すぎる言葉だけを、一度ずつ残します。"},
        "def longer_than(words: list[str]) -> list[str]:\n"
        '    """{doc}"""\n'
        "    return [word for word in dict.fromkeys(words) if len(word) > {n}]",
        "    return [word for word in words if len(word) >= {n}]",
        lambda n: (
            f"assert longer_than(['a' * {n}, 'b' * {n + 1}, 'b' * {n + 1}]) == ['b' * {n + 1}]",
            "assert longer_than([]) == []",
        ),
    ),
    Function(
        "full_boxes",
        {
            "en": "Eggs are packed into boxes of {n}. Write `full_boxes(eggs)`, which returns how many boxes "
            "become full "
            "and how many eggs are left, as a tuple. A negative number raises ValueError.",
            "ja": "卵を{n}個ずつ箱に詰めます。卵の数を受け取り、"
            "いっぱいになる箱の数と残る卵の数をタプルで返す関数`full_boxes(eggs)`を"
            "書いてください。負の数にはValueErrorを送出します。",
        },
        {
            "en": "It divides with a remainder after looking at the sign.",
            "ja": "符号を確かめてから、余りのある割り算をします。",
        },
        "def full_boxes(eggs: int) -> tuple[int, int]:\n"
        '    """{doc}"""\n'
        "    if eggs < 0:\n"
        "        raise ValueError('eggs must not be negative')\n"
        "    return divmod(eggs, {n})",
        "    return divmod(eggs, {n} + 1)",
        lambda n: (
            f"assert full_boxes({3 * n + 1}) == (3, 1)",
            "assert full_boxes(0) == (0, 0)",
            "try:\n    full_boxes(-1)\nexcept ValueError:\n    pass\nelse:\n    raise AssertionError('no ValueError')",
        ),
    ),
    Function(
        "late_fee",
        {
            "en": "A library takes {n} cents for each day that a book is late, and at most 600 cents. Write "
            "`late_fee(days)`, which returns the fee in cents; it is 0 when the book is not late, also for "
            "negative days.",
            "ja": "図書館では、返却が1日遅れるごとに{n}円、最大で600円をいただきます。遅れた日数を受け取り、"
            "料金を返す関数"
            "`late_fee(days)`を書いてください。遅れていないときや負の日数のときは0を返します。",
        },
        {"en": "It multiplies and keeps the result within bounds.", "ja": "掛け算の結果を、0から上限までに収めます。"},
        'def late_fee(days: int) -> int:\n    """{doc}"""\n    return min(600, max(0, days) * {n})',
        "    return min(600, days * {n})",
        lambda n: (f"assert late_fee(2) == {2 * n}", "assert late_fee(1000) == 600", "assert late_fee(-3) == 0"),
    ),
    Function(
        "every_nth",
        {
            "en": "A surveyor looks at every house of a street whose place can be divided by {n}, counting "
            "from 1. Write "
            "`every_nth(houses)`, which returns those houses in their order.",
            "ja": "調査員が、通りの家を端から数えて{n}軒ごとに訪ねます。最初に訪ねるのは{n}軒目です。"
            "家のリストを受け取り、訪ねる家を順に"
            "返す関数`every_nth(houses)`を書いてください。",
        },
        {
            "en": "It slices the list from the first such house on.",
            "ja": "最初に訪ねる家から、同じ間隔で切り出します。",
        },
        'def every_nth(houses: list[str]) -> list[str]:\n    """{doc}"""\n    return houses[{n} - 1 :: {n}]',
        "    return houses[::{n}]",
        lambda n: (
            f"assert every_nth([str(k) for k in range(1, {2 * n + 1})]) == ['{n}', '{2 * n}']",
            "assert every_nth([]) == []",
        ),
    ),
)


def problems(asked: Asked) -> Said | None:
    """Problems with answers, tasks with tests, and the functions that those want; None for anything else."""
    if {"problem", "answer"} <= asked.fields.keys():
        return listed(asked, [_problem(asked) for _ in range(count_in(asked.prompt))], "problems")
    if {"problem", "tests"} <= asked.fields.keys():
        return listed(asked, [_task(asked) for _ in range(count_in(asked.prompt))], "code")
    found = next((hit for one in FUNCTIONS if (hit := re.search(rf"`{one.name}\(", asked.prompt))), None)
    return _solution(asked) if found and not asked.wanted else None


def _problem(asked: Asked) -> dict[str, str]:
    """A problem with its answer, which is sometimes wrong."""
    tasks = [task for task in TASKS if task.language == asked.language and task.name not in ("form", "kana")]
    text = asked.rng.choice(tasks).write(asked.rng)
    known = read(text)
    assert known is not None
    wrong = asked.rng.random() < asked.faults.wrong_answer
    return {"problem": text, "answer": known.solution.wrong if wrong else known.solution.answer}


def _task(asked: Asked) -> dict[str, object]:
    """A task with its tests, of which the first is sometimes wrong."""
    one, n = asked.rng.choice(FUNCTIONS), asked.rng.randint(3, 40)
    tests = [*one.tests(n)]
    if asked.rng.random() < asked.faults.wrong_answer:
        tests[0] = tests[0].replace("==", "!=")
    return {"problem": one.words[asked.language].format(n=n), "entry_point": one.name, "tests": tests}


def _solution(asked: Asked) -> Said:
    """The function that a task wants, after a sentence on how it works; wrong, it fails a test."""
    one = next(one for one in FUNCTIONS if f"`{one.name}(" in asked.prompt)
    before = re.escape(one.words[asked.language].split("{n}")[0])
    found = re.search(rf"{before}(\d+)", asked.prompt)
    told = one.how[asked.language]

    def block(code: str) -> str:
        return f"{told}\n\n```python\n{code.replace('{doc}', told).replace('{n}', found[1] if found else '1')}\n```"

    bad = "\n".join([*one.code.split("\n")[:-1], one.wrong])
    truth = Truth("answerer", "code", asked.language, answer=one.name)
    return spoilt(asked, block(one.code), truth, {"wrong_answer": block(bad), "missing_answer": told})
