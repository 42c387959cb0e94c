"""The practice teacher says what stands in its book in another register, short or long, and grades that."""

from __future__ import annotations

from synth.backends.practice.playing import graded, spoilt, tagged
from synth.backends.practice.said import Asked, Said, Truth
from synth.patterns import lazy

REGISTER = lazy(r"(?:Register: |文体：)(\w+)")
MOST = lazy(r"(?:at most |長さは)(\d+)")
WARM = lazy(r"Tone: warm")
ENDING = {"formal": "I hope that this is of help.", "casual": "Hope that helps!"}
OTHER = {"formal": "casual", "casual": "formal", "常体": "敬体", "敬体": "常体", "敬語": "常体"}
ROOM = 120
"""Characters from which on it says more than one sentence."""

Forms = dict[str, tuple[str, str]]
"""By register: the answer, and what may be added to it."""
BOOK: dict[str, Forms] = {
    "Can I freeze cooked rice?": {
        "formal": ("Cooked rice may be frozen, provided that it is cooled quickly.",
                   "Please divide it into portions, and use them within one month."),
        "casual": ("Sure, you can freeze it, just don't let it sit out.",
                   "Split it into portions and you've got a month to eat them."),
    },
    "Why is the Wi-Fi slow in my bedroom?": {
        "formal": ("Walls and distance weaken the signal that reaches the room.",
                   "Moving the router to a central place usually improves the connection."),
        "casual": ("It's the walls, they eat up your signal.",
                   "Try moving the router somewhere in the middle and you'll probably be fine."),
    },
    "What do I do about a library book that is overdue?": {
        "formal": ("The book may be returned at any desk, and a small fee may apply.",
                   "A telephone call in advance is appreciated but not required."),
        "casual": ("Just drop it off, they won't bite.",
                   "There's maybe a small fee, and you don't even need to call first."),
    },
    "What should I bring to a job interview?": {
        "formal": ("Please bring two copies of your résumé and an identity card.",
                   "A short list of questions shows that you have prepared."),
        "casual": ("Bring two copies of your résumé and you're set.",
                   "It's smart to have a few questions up your sleeve, too."),
    },
    "Is it safe to leave a phone charging overnight?": {
        "formal": ("Modern telephones stop charging by themselves once they are full.",
                   "The device should lie on a hard surface, and not under a pillow."),
        "casual": ("Yeah, it's fine, phones stop on their own.",
                   "Just don't stick it under your pillow, that's where it gets too hot."),
    },
    "How can I keep basil alive on a windowsill?": {
        "formal": ("Basil requires light, warmth and water from below.",
                   "Harvest the tips regularly, so that the plant grows dense."),
        "casual": ("Give it sun and water it from below, that's the trick.",
                   "Pinch off the tips and it'll keep getting bushier."),
    },
    "炊いたご飯は冷凍できますか。": {
        "常体": ("炊いたご飯は冷凍できる。", "熱いうちに一食分ずつ包み、一か月をめどに食べ切るとよい。"),
        "敬体": ("炊いたご飯は冷凍できます。", "熱いうちに一食分ずつ包み、一か月をめどに食べ切ってください。"),
        "敬語": ("炊いたご飯は冷凍していただけます。", "熱いうちに一食分ずつお包みになり、一か月をめどに召し上がってください。"),
    },
    "寝室だけWi-Fiが遅いのはなぜですか。": {
        "常体": ("壁と距離で電波が弱まるからだ。", "ルーターを家の中央に移すと、改善することが多い。"),
        "敬体": ("壁と距離で電波が弱まるからです。", "ルーターを家の中央に移すと、改善することが多いです。"),
        "敬語": ("壁と距離によって電波が弱まるためでございます。", "ルーターをお住まいの中央にお移しいただくと、改善することがございます。"),
    },
    "図書館の本の返却が遅れたら、どうすればよいですか。": {
        "常体": ("気づいた日にそのまま返せばよい。", "延滞の間は、新しく借りられないことがある。"),
        "敬体": ("気づいた日にそのまま返してください。", "延滞の間は、新しく借りられないことがあります。"),
        "敬語": ("お気づきになった日に、そのままお返しください。", "延滞の間は、新たにお借りいただけないことがございます。"),
    },
    "面接には何を持っていけばよいですか。": {
        "常体": ("履歴書の控えと筆記用具を持っていく。", "質問を二つほど用意しておくと、準備したことが伝わる。"),
        "敬体": ("履歴書の控えと筆記用具を持っていきます。", "質問を二つほど用意しておくと、準備したことが伝わります。"),
        "敬語": ("履歴書の控えと筆記用具をご持参ください。", "ご質問を二つほど用意していただくと、熱意が伝わります。"),
    },
    "スマートフォンは一晩中充電しても大丈夫ですか。": {
        "常体": ("満充電になれば自動で止まるので、問題ない。", "熱がこもるので、布団の中には置かないほうがよい。"),
        "敬体": ("満充電になれば自動で止まるので、問題ありません。", "熱がこもるので、布団の中には置かないでください。"),
        "敬語": ("満充電になれば自動で止まりますので、ご安心ください。", "熱がこもりますので、お布団の中にはお置きにならないでください。"),
    },
    "窓辺のバジルを枯らさないこつは何ですか。": {
        "常体": ("日光に当て、土が乾いたら水をやることだ。", "先端を摘むと枝が増え、長く楽しめる。"),
        "敬体": ("日光に当て、土が乾いたら水をやることです。", "先端を摘むと枝が増え、長く楽しめます。"),
        "敬語": ("日のよく当たる所にお置きになり、土が乾きましたら水をおやりください。", "先端をお摘みになると枝が増え、長くお楽しみいただけます。"),
    },
}  # fmt: skip


def styles(asked: Asked) -> Said | None:
    """An answer in the register, length and tone that a prompt asks for, or a grade for one; None for others."""
    (question, *_) = tagged(asked.prompt, "original_question") or [""]
    forms, register, most = BOOK.get(question), REGISTER.search(asked.prompt), MOST.search(asked.prompt)
    if forms is None or register is None or most is None:
        return None
    short, more = forms[register[1]]
    ending = ENDING.get(register[1], "") if WARM.search(asked.prompt) else ""
    joint = " " if asked.language == "en" else ""
    good = joint.join(part for part in (short, more if int(most[1]) >= ROOM else "", ending) if part)
    if "score" in asked.wanted:
        (answer, *_) = tagged(asked.prompt, "answer") or [""]
        return graded(asked, right=answer == good, task="styles")
    other = forms[OTHER[register[1]]]
    truth = Truth("answerer", "styles", asked.language, answer=good)
    faults = {"wrong_answer": joint.join(other), "missing_answer": joint.join((short, other[1]))}
    return spoilt(asked, good, truth, faults)
