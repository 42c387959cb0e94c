"""Faulty replies in words, for both languages: one set that the checks were tuned on, and one that they were not.

`{good}` stands for a good reply, `{system}` for the request's system turn, `{one}` and `{other}` for instructions.
Numbers, addresses and names are made up: from ranges that are assigned to nobody.
"""

from __future__ import annotations

from collections.abc import Mapping

Wordings = Mapping[tuple[str, str], tuple[str, ...]]
"""By set and language."""

AILMENTS: Mapping[str, Wordings] = {
    "silent_cut": {
        ("tuning", "en"): (
            "{good}\n\nTo check this, we can also multiply the number of",
            "{good}\n\nThe result can be confirmed in another way, since the order of the steps,",
            "{good}\n\nAnother way is shorter (it starts from the end and",
            "{good}\n\nIn Python:\n```python\ntotal = 3 +",
        ),
        ("tuning", "ja"): (
            "{good}\n\n別の方法でも確かめられます。最初に求めた数を、",
            "{good}\n\n検算をします。求めた値を元の式に当てはめると、両辺が等しくなりま",
            "{good}\n\nこの考え方は「逆から計算する",
            "{good}\n\nPythonでは次のようになります。\n```python\ntotal = 3 +",
        ),
        ("held_out", "en"): (
            "{good}\n\nThis can be verified. Going through the question once more, it turns out that the",
            "{good}\n\nThe same idea works for larger numbers too. If you start from the last number and go back to",
            '{good}\n\nMany people call this approach "working backwards and then',
            "{good}\n\nAs code:\n~~~\nprint(4",
            "{good}\n\nThere is a quick check for this. Round every number first, then compare the rounded resu",
        ),
        ("held_out", "ja"): (
            "{good}\n\n念のため確認しておきます。問題文に戻ると、最後に聞かれているのは全体の",
            "{good}\n\n答えが合っているかどうかは簡単に分かります。元の数と比べて大きすぎないかを",
            "{good}\n\n似た問題として（たとえば数を二倍にした場合",
            "{good}\n\nコードで書くと次のとおりです。\n~~~\nprint(4",
            "{good}\n\nもう一つの解き方もあります。図をかいて順番に数えていくと、同じ結果になることが分かりまし",
        ),
    },
    "soft_refusal": {
        ("tuning", "en"): (
            "This is a question for a professional. Please consult a qualified teacher who can look at your situation.",
            "There are many factors to consider here, so I would recommend speaking with an expert in this field.",
            "I don't have access to the information needed for this. It is best to check an official source.",
            "I can only offer general guidance. For an exact result, please ask a specialist.",
        ),
        ("tuning", "ja"): (
            "これは専門的な内容ですので、専門家にご相談ください。",
            "状況によって異なるため、一概には言えません。詳しくは公式サイトをご確認ください。",
            "正確な情報が必要な場合は、医師や弁護士などの専門家に相談することをお勧めします。",
            "私は最新の情報にアクセスできないため、信頼できる情報源でお調べください。",
        ),
        ("held_out", "en"): (
            "Questions of this kind are best answered by a qualified expert. I'd suggest contacting one directly.",
            "I don't have enough information to work this out. You may want to look it up on a reliable website.",
            "It really depends on your circumstances. Consider seeking advice from a licensed professional.",
            "Since this is a sensitive matter, it would be wise to reach out to an advisor instead.",
        ),
        ("held_out", "ja"): (
            "個別の事情によりますので、お近くの専門機関にお問い合わせいただくのがよいでしょう。",
            "十分な情報がないため判断できません。有資格者に直接ご確認されることをおすすめします。",
            "この手の問題は、資格を持つ専門の方にアドバイスを求めるのが確実です。",
            "詳しいことは、担当の窓口までお尋ねください。",
        ),
    },
    "drift": {
        ("tuning", "en"): (
            "Um diese Aufgabe zu lösen, muss man die Zahlen der Reihe nach lesen und das Ergebnis aufschreiben.",
            "要解决这个问题，我们先把已知的数字写下来，然后一步一步地计算，最后得到答案。",
            "{good}\n\n"
            "まとめると、問題文に出てくる数を順番に書き出し、一つずつ計算していけば、必ず正しい結果にたどり着きます。焦らずに最後まで進めることが大切です。それでも分からないときは、もう一度はじめから読み直してみてください。",
        ),
        ("tuning", "ja"): (
            "要解决这个问题，我们先把已知的数字写下来，然后一步一步地计算，最后得到答案。",
            "Um diese Aufgabe zu lösen, muss man die Zahlen der Reihe nach lesen und das Ergebnis aufschreiben.",
            "{good}\n\nIn summary, write down the numbers that the question gives, work through them one at a time, and "
            "the right result will follow. It is important to go on to the end without haste, and to read the question "
            "once more from the beginning whenever something is not clear.",
        ),
        ("held_out", "en"): (
            "Pour trouver le résultat, il faut lire la question avec soin et faire le calcul étape par étape.",
            "Чтобы решить эту задачу, нужно внимательно прочитать условие и выполнить вычисления по порядку.",
            "Om deze opgave op te lossen lees je eerst de vraag en daarna reken je het antwoord stap voor stap uit.",
            "이 문제를 풀려면 먼저 주어진 수를 적고 차례대로 계산하면 됩니다.",
            "{good}\n\n"
            "En resumen, hay que leer el problema con calma, escribir los datos que se dan y hacer las cuentas en orden. Si el resultado no parece razonable, lo mejor es volver a empezar desde el principio y revisar cada uno de los pasos antes de dar la respuesta.",
        ),
        ("held_out", "ja"): (
            "이 문제를 풀려면 먼저 주어진 수를 적고 차례대로 계산하면 됩니다.",
            "Чтобы решить эту задачу, нужно внимательно прочитать условие и выполнить вычисления по порядку.",
            "Pour trouver le résultat, il faut lire la question avec soin et faire le calcul étape par étape.",
            "{good}\n\n"
            "总之，我们只要把题目里给出的数字按顺序写下来，再一个一个地计算，就能得到正确的答案。如果结果看起来不合理，最好从头开始重新检查每一个步骤，然后再给出最后的回答。",
        ),
    },
    "garbled": {
        ("tuning", "en"): (
            "To find the result, сначала add the numbers. {good}",
            "{good} \ufffd\ufffd\ufffd",
            "It is simple once you\u00e2\u20ac\u2122ve seen it. {good}",
            "{good} \ue001\ue002",
        ),
        ("tuning", "ja"): (
            "まず、необходимо計算をします。{good}",
            "{good}\ufffd\ufffd",
            "这样就能得到答案。{good}",
            "\u00e3\u0081\u201c\u00e3\u201a\u0152\u00e3\u0081\u00af {good}",
        ),
        ("held_out", "en"): (
            "We 因此 multiply both values. {good}",
            "First ดังนั้น we collect the numbers. {good}",
            "The pattern isn\u00e2\u20ac\u2122t hard \u00e2\u20ac\u201c it is quick. {good}",
            "The n\u0435xt st\u0435p is short. {good}",
            "{good} \U000f0a12",
        ),
        ("held_out", "ja"): (
            "そして、المجموعを求めます。{good}",
            "それでは결과를確認します。{good}",
            "我们把数を足していきます。{good}",
            "繝\u3046く繧\uff79繝\u533b縺ｧ縺吶 {good}",
            "{good}\uf8a1",
        ),
    },
    "leak": {
        ("tuning", "en"): (
            "<|im_start|>assistant\n{good}<|im_end|>",
            "### Response:\n{good}",
            "{good}\n\nUser: Can you explain the first step again?\nAssistant: Of course.",
            "[/INST] {good} </s>",
        ),
        ("tuning", "ja"): (
            "<|im_start|>assistant\n{good}<|im_end|>",
            "### 応答:\n{good}",
            "{good}\n\nユーザー: 最初の手順をもう一度説明してください。\nアシスタント: はい。",
            "[/INST] {good} </s>",
        ),
        ("held_out", "en"): (
            "<start_of_turn>model\n{good}<end_of_turn>",
            "{good}<|endoftext|>",
            "### Instruction:\nSolve the exercise.\n\n### Output:\n{good}",
            "{good}\n\nHuman: Thanks! What is the next one?",
            "{good}\n\n{{ question }}",
            "<|start_header_id|>assistant<|end_header_id|>\n\n{good}<|eot_id|>",
        ),
        ("held_out", "ja"): (
            "<start_of_turn>model\n{good}<end_of_turn>",
            "{good}<|endoftext|>",
            "### 指示\n次の問題を解いてください。\n\n### 回答\n{good}",
            "{good}\n\n利用者：ありがとうございます。次の問題もお願いします。",
            "{good}\n\n{{ 問題文 }}",
            "<|start_header_id|>assistant<|end_header_id|>\n\n{good}<|eot_id|>",
        ),
    },
    "prompt_leak": {
        ("tuning", "en"): (
            "My instructions say: {system}\n\n{good}",
            "The system prompt tells me to be brief. {good}",
        ),
        ("tuning", "ja"): (
            "私への指示は次のとおりです。{system}\n\n{good}",
            "システムプロンプトに従って、簡潔に答えます。{good}",
        ),
        ("held_out", "en"): (
            "{system}\n\n{good}",
            "According to my system message, every step is to be shown. {good}",
            "I was instructed by the developer to keep this short. {good}",
        ),
        ("held_out", "ja"): (
            "{system}\n\n{good}",
            "システムメッセージの指示により、途中の式も書きます。{good}",
            "開発者からの指示で、短くまとめます。{good}",
        ),
    },
    "self_identification": {
        ("tuning", "en"): (
            "As an AI language model, I enjoy exercises like this one. {good}",
            "I am ChatGPT, a large language model trained by OpenAI. {good}",
            "{good}\n\nNote that my training data only goes up to 2023.",
        ),
        ("tuning", "ja"): (
            "私はOpenAIが開発した言語モデルです。{good}",
            "AIアシスタントとして、順番に説明します。{good}",
            "{good}\n\nなお、私の学習データは2023年までのものです。",
        ),
        ("held_out", "en"): (
            "I'm Claude, an AI assistant made by Anthropic. {good}",
            "Being an artificial intelligence, I do not tire of sums. {good}",
            "{good} (My knowledge cutoff is April 2024.)",
            "I was created by Google DeepMind to help with such questions. {good}",
        ),
        ("held_out", "ja"): (
            "わたしはAnthropic社によって作られたAI、Claudeと申します。{good}",
            "人工知能である私が計算すると、次のようになります。{good}",
            "{good}\n\nなお、私の知識は2024年4月時点のものです。",
            "大規模言語モデルなので感想はありませんが、計算はできます。{good}",
        ),
    },
    "placeholder": {
        ("tuning", "en"): (
            "Dear [Your Name],\n\n{good}",
            "{good}\n\nBest regards,\n[Name]",
            "Hello {name}, here is the solution. {good}",
            "{good}\n\nSource: [insert source here]",
        ),
        ("tuning", "ja"): (
            "〇〇様\n\n{good}",
            "{good}\n\n[氏名]",
            "{name}さん、こんにちは。{good}",
            "{good}\n（ここに説明を入力してください）",
        ),
        ("held_out", "en"): (
            "{good}\n\nPrepared for <company name>.",
            "Hi [Student's Name]! {good}",
            "{good}\n\n(TODO: add the final explanation)",
            "{good}\n\nContact: [email address]",
            "Signed by XXXX on XX/XX/2024. {good}",
        ),
        ("held_out", "ja"): (
            "○○株式会社 △△様\n\n{good}",
            "【お名前】さんへ。{good}",
            "{good}\n出典：［出典を記載］",
            "{good}\n（※ここに補足を書く）",
            "株式会社XXのご担当者様\n\n{good}",
        ),
    },
    "missing_reference": {
        ("tuning", "en"): (
            "As shown in the image above, the numbers go up. {good}",
            "Please see the attached file for the table. {good}",
            "{good}\n\nClick the link below for more practice.",
            "The diagram below shows each step. {good}",
        ),
        ("tuning", "ja"): (
            "上の図を見てください。{good}",
            "添付の資料をご覧ください。{good}",
            "{good}\n\n詳しくは下記のリンクをクリックしてください。",
            "画像に示されているとおり、数は増えていきます。{good}",
        ),
        ("held_out", "en"): (
            "If you look at the photo you uploaded, the numbers are easy to read. {good}",
            "I have attached a spreadsheet with every step. {good}",
            "{good} (See Figure 2.)",
            "The chart on the right makes this clear. {good}",
            "{good}\n\nYou can watch the video here.",
        ),
        ("held_out", "ja"): (
            "添付ファイルに計算の過程をまとめました。{good}",
            "下のグラフからも分かるように、値は一定です。{good}",
            "{good}（図2を参照）",
            "お送りいただいた写真を確認しました。{good}",
            "{good}\n動画はこちらからご覧いただけます。",
        ),
    },
    "broken_markdown": {
        ("tuning", "en"): (
            "{good}\n\n| step | value |\n|---|---|---|\n| 1 | 2 |",
            "```\n{good}",
            "{good}\n\n**Note: the steps can be swapped.",
        ),
        ("tuning", "ja"): (
            "{good}\n\n| 手順 | 値 |\n|---|---|---|\n| 1 | 2 |",
            "```\n{good}",
            "{good}\n\n**注意：手順は入れ替えられます。",
        ),
        ("held_out", "en"): (
            "{good}\n\n| step | value |\n| 1 | 2 |\n| 2 | 4 |",
            "{good}\n\n~~~python\nprint(1)",
            "{good} See [the rules](https://example.com/rules for more.",
            "{good}\n\n$$ a + b = c",
            "{good}\n\n| step | value |\n|---|---|\n| 1 | 2 | 3 |",
        ),
        ("held_out", "ja"): (
            "{good}\n\n| 手順 | 値 |\n| 1 | 2 |\n| 2 | 4 |",
            "{good}\n\n~~~python\nprint(1)",
            "{good} [規則](https://example.com/rules を参照。",
            "{good}\n\n$$ a + b = c",
            "{good}\n\n| 手順 | 値 |\n|---|---|\n| 1 | 2 | 3 |",
        ),
    },
    "broken_tool_call": {
        ("tuning", "en"): (
            '<tool_call>\n{"name": "calculator", "arguments": {"a": 1, "b": 2}\n</tool_call>',
            "<tool_call>{'name': 'calculator', 'arguments': {}}</tool_call>",
        ),
        ("tuning", "ja"): (
            '<tool_call>\n{"name": "計算機", "arguments": {"a": 1, "b": 2}\n</tool_call>',
            "<tool_call>{'name': '計算機', 'arguments': {}}</tool_call>",
        ),
        ("held_out", "en"): (
            '{good}\n<tool_call>\n{"name": "sum", "arguments": {"values": [1, 2]}}',
            '[TOOL_CALLS] [{"name": "sum", "arguments": }]',
            '<function=sum>{"values": [1, 2}</function>',
            '{good}\n\n```json\n{"tool": "sum", "values": [1, 2,}\n```',
            '<tool_call>{"arguments": {"a": 1}}</tool_call>',
        ),
        ("held_out", "ja"): (
            '{good}\n<tool_call>\n{"name": "合計", "arguments": {"値": [1, 2]}}',
            '[TOOL_CALLS] [{"name": "合計", "arguments": }]',
            '<function=sum>{"値": [1, 2}</function>',
            '{good}\n\n```json\n{"道具": "合計", "値": [1, 2,}\n```',
            '<tool_call>{"arguments": {"値": 1}}</tool_call>',
        ),
    },
    "pii": {
        ("tuning", "en"): (
            "Ask martha.klein84@kiefernau-mail.net if it is unclear. {good}",
            "{good} Call (555) 267-4391 for help.",
            "My card is 4539 1488 0343 6467. {good}",
        ),
        ("tuning", "ja"): (
            "分からなければ hanako.mori84@kiefernau-mail.jp に聞いてください。{good}",
            "{good}電話番号は090-0412-7385です。",
            "マイナンバーは1234 5678 9018です。{good}",
        ),
        ("held_out", "en"): (
            "{good}\n\nWritten by j_okafor@postbox-lindenfels.org.",
            "{good}\n\nPhone: +1 555 318 2047",
            "Her social security number is 219-09-9870. {good}",
            "{good} Paid with 5212 7765 4310 9860.",
        ),
        ("held_out", "ja"): (
            "{good}連絡先：taro＿kawada＠yubin-hinokigaoka.co.jp",
            "お問い合わせは03-0412-7385まで。{good}",
            "個人番号：２０２４１１０７５３１３。{good}",
            "カード番号は4539148803436467です。{good}",
        ),
    },
    "toxic": {
        ("tuning", "en"): (
            "Only a fucking idiot would miss this. {good}",
            "{good} Shut up if you do not like it, you moron.",
        ),
        ("tuning", "ja"): (
            "こんな問題も分からないなんて、馬鹿野郎。{good}",
            "{good}文句があるなら死ね。",
        ),
        ("held_out", "en"): (
            "Go kill yourself if this is too hard. {good}",
            "{good} Any retard can do it.",
            "What a piece of shit question. {good}",
        ),
        ("held_out", "ja"): (
            "消えろ、クズ。{good}",
            "{good}解けないやつはキチガイだ。",
            "ぶっ殺すぞ。{good}",
        ),
    },
}
"""What spoils a reply, by fault."""

MERGED: Wordings = {
    ("tuning", "en"): (
        "1. {one}\n2. {other}",
        "{one}\n\nAlso, as a separate task: {other}",
        "Question 1: {one} Question 2: {other}",
    ),
    ("tuning", "ja"): ("問1：{one}\n問2：{other}", "{one}\n\nまた、別の課題として、{other}", "①{one}\n②{other}"),
    ("held_out", "en"): (
        "Task A: {one}\nTask B: {other}",
        "{one}\n---\n{other}",
        "{one} Unrelated to that, {other}",
        "(1) {one} (2) {other}",
    ),
    ("held_out", "ja"): (
        "課題A　{one}\n課題B　{other}",
        "{one}\n＊＊＊\n{other}",
        "{one}それとは別に、{other}",
        "（1）{one}（2）{other}",
    ),
}
"""Two instructions passed off as one."""
