"""What the page says, in English and Japanese."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """Headings and labels of the page in one language."""

    language: str
    report: str
    rows: str
    seeds: str
    drafts: str
    accepted: str
    cost: str
    by_batch: str
    duration: str
    per_row: str
    tokens: str
    states: dict[str, str]
    practice_title: str
    practice: str
    way: str
    way_note: str
    way_money: str
    rejections: str
    no_rejections: str
    kept_twin: str
    similarity: str
    not_kept: str
    scores: str
    no_scores: str
    mean: str
    judges: str
    judge: str
    graded: str
    verifier: str
    right: str
    if_right: str
    if_wrong: str
    ranked_right: str
    by_position: str
    own_answers: str
    judges_note: str
    diversity: str
    part: str
    parts: dict[str, str]
    measured: str
    distinct: str
    compression: str
    diversity_note: str
    course: str
    requests_a_minute: str
    tokens_a_second: str
    money_so_far: str
    course_note: str
    breaks: str
    at_most: str
    spending: str
    stage: str
    teacher: str
    attempts: str
    failed: str
    prompt_tokens: str
    completion_tokens: str
    total: str
    budget: str
    lost: str
    still_charged: str
    examples: str
    no_rows: str
    more_rows: str
    roles: dict[str, str]
    reasoning: str
    left_out: str
    provenance: str
    recipe: str
    recipe_text: str
    template: str
    source: str
    model: str
    served: str
    host: str
    sampling: str
    terms: str
    verdicts: dict[str, str]
    reported: str
    unknown: str
    price: str
    licence: str
    no_licence: str
    time: str
    versions: str
    parked: str
    repeated: str
    practice_teacher: str
    price_unknown: str
    scoring: str
    by_meaning: str
    gates: str
    gates_saved: str
    pair_distribution: str
    pair_note: str
    no_pairs: str
    unrelated_pairs: str
    unrelated_note: str
    given_threshold: str
    scripts: dict[str, str]
    """What the scripts are called whose texts are compared by meaning."""
    same_meaning: str
    uncompared: str
    unremembered: str
    cluster_sizes: str
    texts: str
    texts_or_more: str
    largest_clusters: str
    kept_earlier: str
    more_twins: str
    shares: str
    answers: str
    of_use: str
    per_use: str
    rows_by_model: str
    ladder: str
    rung: str
    asked: str
    fitted: str
    rungs: dict[str, str]
    """Plain words for the steps of the ladder by which objects are asked for."""
    reasons: dict[str, str]
    """Plain words for the names of reasons; a plug-in's own reason is shown by its name."""
    failures: dict[str, str]
    """Plain words for the classes of replies that could not be used."""


ENGLISH = Words(
    language="en",
    report="Run report",
    rows="Rows",
    seeds="Seeds",
    drafts="drafts",
    accepted="accepted",
    cost="Cost",
    by_batch="{attempts} requests by batch, {cost}",
    duration="Duration",
    per_row="per row",
    tokens="Tokens",
    states={
        "complete": "Complete",
        "stopped_by_budget": "Stopped by the budget",
        "interrupted": "Interrupted",
        "failed": "Failed",
        "partial": "Finished, some samples set aside",
    },
    practice_title="This is practice data",
    practice=(
        "It was made by the practice teacher that ships with synth, a program and not a language model. "
        "It consists of exercises for trying out synth; it is not a real teacher's output and not meant for training."
    ),
    way="From seeds to rows",
    way_note="Every sample that was refused is in rejected.jsonl with its reason.",
    way_money="Beside the drafts stands what asking for them cost, beside the accepted what scoring cost.",
    rejections="Why samples were refused",
    no_rejections="No sample was refused.",
    kept_twin="The one that was kept",
    similarity="similarity",
    not_kept="There was no text to keep.",
    scores="Scores of the rows",
    no_scores="The rows carry no scores.",
    mean="mean",
    judges="Judges",
    judge="Judge",
    graded="Samples graded",
    verifier="Verifier",
    right="Right",
    if_right="Mean if right",
    if_wrong="Mean if wrong",
    ranked_right="Pairs ranked right",
    by_position="Followed the position",
    own_answers="This model also wrote the answers that it graded: models favour their own.",
    judges_note=(
        "Pairs ranked right: how often a judge graded a sample that a verifier found right above one that it found "
        "wrong; 1 is always, 0.5 is chance. What selection refused is counted too."
    ),
    diversity="Diversity",
    part="Part",
    parts={"question": "Questions", "answer": "Answers"},
    measured="Rows measured",
    distinct="distinct",
    compression="Compression",
    diversity_note=(
        "Distinct: different runs of one, two and three words (kana and kanji one by one) as a share of all. "
        "Compression: how many times smaller the texts become, so the higher, the more they repeat."
    ),
    course="Over time",
    requests_a_minute="Requests a minute",
    tokens_a_second="Tokens written a second",
    money_so_far="Money so far",
    course_note="By the time at which requests were sent, over all invocations of the run.",
    at_most="at most {}",
    breaks="Longer times without a request are left out: {}.",
    spending="Tokens and cost",
    stage="Stage",
    teacher="Teacher",
    attempts="Attempts",
    failed="Not usable",
    prompt_tokens="Prompt tokens",
    completion_tokens="Completion tokens",
    total="Total",
    budget="Budget",
    lost="Lost attempts",
    still_charged=", still charged",
    examples="Some rows",
    no_rows="This run made no rows.",
    more_rows="{} more",
    roles={"system": "System", "user": "User", "assistant": "Assistant", "tool": "Tool"},
    reasoning="Reasoning",
    left_out="more characters are not shown here",
    provenance="Provenance",
    recipe="Recipe",
    recipe_text="The recipe as it was run",
    template="Template",
    source="Source of the seeds",
    model="Model",
    served="Served as",
    host="Host",
    sampling="Sampling",
    terms="Terms on training with its output",
    verdicts={
        "allowed": "allowed",
        "allowed_with_duties": "allowed, with duties",
        "restricted": "restricted",
        "unknown": "unknown",
    },
    reported=", reported",
    unknown="unknown",
    price="Price per million tokens",
    licence="Licence",
    no_licence="none given; not to be published",
    time="Time",
    versions="Versions",
    parked="set aside",
    repeated="Repeated seeds dropped:",
    practice_teacher="practice teacher",
    price_unknown="not counted, price unknown:",
    scoring="scoring",
    by_meaning="by meaning",
    gates="Duplicates",
    gates_saved="Up to {replies} replies{cost} were not bought, as {prompts} prompts had been dropped as duplicates. An estimate: what the other prompts asked for, on average.",
    pair_distribution="How alike the compared pairs were",
    pair_note="{count} pairs were compared; the height of a bar goes by the square root of its count. From {threshold} on two texts count as the same, or from more where they have only a few words.",
    no_pairs="No two texts came near each other.",
    unrelated_pairs="How close unrelated texts are in meaning: {}",
    unrelated_note="{texts} different texts, each compared with each: {count} pairs, of which one in a thousand exceeds {usual}. From three quarters of the way to 1 on, {threshold}, two texts with the same numbers mean the same. Bars as above.",
    given_threshold="From {} on, as the recipe says, two texts with the same numbers mean the same.",
    scripts={
        "latin": "Latin letters",
        "japanese": "Japanese",
        "chinese": "Chinese",
        "korean": "Korean",
        "other": "other scripts",
    },
    same_meaning="Meant the same as an earlier one:",
    uncompared="Not compared, for want of a vector or of enough texts in their script:",
    unremembered="Not kept to compare others with, for want of room:",
    cluster_sizes="Clusters by size",
    texts="{} texts",
    texts_or_more="{} or more",
    largest_clusters="The largest clusters",
    kept_earlier="Known from earlier data, or nothing came of it.",
    more_twins="more twins",
    shares="Who answered",
    answers="Answers",
    of_use="Of use",
    per_use="Cost of one of use",
    rows_by_model="Rows by model",
    ladder="How objects were asked for",
    rung="Step",
    asked="Replies",
    fitted="Fitted the schema",
    rungs={
        "exact": "fitted as it came",
        "mended": "mended locally",
        "fields": "failing fields asked for again",
        "whole": "asked for again whole",
        "fresh": "asked anew",
        "fallback": "another teacher",
    },
    reasons={
        "duplicate": "Same as an earlier one",
        "near_duplicate": "Almost the same as an earlier one",
        "semantic_duplicate": "Says the same as an earlier one",
        "repeated_seed": "Seed repeats an earlier one",
        "contaminated": "Holds an item of a benchmark",
        "not_novel": "Known from earlier data",
        "seed_full": "Its seed has brought enough",
        "not_best": "Another draw was better",
        "not_balanced": "More than of other values",
        "not_diverse": "Too much like a better row",
        "below_threshold": "Score too low",
        "not_asked": "Not asked before the asking stopped",
        "parked": "No usable reply yet",
        "beyond_target": "More than was wanted",
        "by_hand": "Rejected by hand",
        "refusal": "Teacher declined",
        "soft_refusal": "Teacher put off instead of answering",
        "prompt_leak": "Repeats its own prompt",
        "template_leak": "Remains of a chat template",
        "self_identification": "Speaks of itself as a model",
        "placeholder": "Blanks left to fill in",
        "missing_reference": "Points to what is not there",
        "mixed_script": "Stray letters of another script",
        "damaged_text": "Damaged characters",
        "broken_markdown": "Broken Markdown",
        "broken_tool_call": "Broken tool call",
        "merged_instructions": "Two tasks in one",
        "pii": "Personal data",
        "toxic": "Abusive word",
        "template_quota": "Same template too often",
        "teacher_refused": "Teacher declined",
        "truncated": "Cut off before its end",
        "truncated_empty": "Cut off before any text",
        "repetition": "Runs in circles",
        "wrong_language": "In another language",
        "no_final_answer": "No final answer",
        "too_short": "Too short",
        "too_long": "Too long",
        "invalid_json": "Not valid JSON",
        "invalid_output": "Not the form asked for",
        "no_verdict": "Could not be graded",
        "schema_mismatch": "Does not fit the schema",
        "no_instructions": "No instructions in it",
        "no_reference": "Seed has no reference answer",
        "empty_question": "Question is empty",
        "empty_answer": "Answer is empty",
        "template_error": "Template failed",
        "not_mentioned": "Lacks what it must name",
        "not_kept": "Lost what had to stay",
        "foreign_units": "In units its readers do not use",
        "other_register": "In another register",
        "mixed_register": "Mixes registers",
        "no_reasoning": "No reasoning with it",
        "not_declined": "Answered what the passages do not say",
        "declined": "Says that the passages do not say",
        "no_citation": "Cites no passage",
        "wrong_citation": "Cites a passage that is not there",
        "invalid_tools": "Its tools are none",
        "unknown_tool": "Calls a tool that is not there",
        "too_many_calls": "Calls tools without end",
        "wrong_tool_use": "Too few calls, or too many",
        "no_answer": "Neither call nor answer",
        "not_in_passage": "Says what is not in its source",
        "plugin_error": "A plug-in failed",
        "role_slip": "Spoke in the other's place",
        "echo": "Said again what was said",
        "hollow": "Says nothing",
        "no_gain": "Evolved into the same",
    },
    failures={
        "rate": "rate limit",
        "capacity": "server too busy",
        "transient": "server error",
        "unreachable": "could not be reached",
        "ambiguous": "connection lost",
        "malformed": "reply that cannot be read",
        "poison": "failed in the same way each time",
        "teacher_refused": "teacher declined",
        "truncated_empty": "cut off before any text",
        "permanent": "request refused",
        "repetition": "ended in a loop",
        "fatal": "stopped the run",
        "lost": "lost in a crash",
        "open": "still open",
        "unsent": "never sent",
        "reused": "from an earlier run",
        "unserved": "not served, in a batch or as one of several choices",
    },
)

JAPANESE = Words(
    language="ja",
    report="実行レポート",
    rows="行",
    seeds="シード",
    drafts="下書き",
    accepted="採用",
    cost="費用",
    by_batch="うちバッチ {attempts} 件、{cost}",
    duration="所要時間",
    per_row="1 行あたり",
    tokens="トークン",
    states={
        "complete": "完了",
        "stopped_by_budget": "予算に達して停止",
        "interrupted": "中断",
        "failed": "失敗",
        "partial": "終了（保留あり）",
    },
    practice_title="これは練習用データです",
    practice=(
        "synth に付属する練習用の教師プログラム（言語モデルではありません）が作りました。"
        "synth を試すための練習問題であり、本物の教師モデルの出力ではなく、学習に使うためのものでもありません。"
    ),
    way="シードから行まで",
    way_note="不採用のサンプルはすべて、理由とともに rejected.jsonl にあります。",
    way_money="下書きの横は作成、採用の横は採点にかかった費用です。",
    rejections="不採用の理由",
    no_rejections="不採用のサンプルはありません。",
    kept_twin="採用されたほう",
    similarity="類似度",
    not_kept="残すテキストがありませんでした。",
    scores="行のスコア",
    no_scores="スコアはありません。",
    mean="平均",
    judges="審査",
    judge="審査",
    graded="採点数",
    verifier="検証",
    right="正解",
    if_right="正解の平均点",
    if_wrong="不正解の平均点",
    ranked_right="順序の正しい組",
    by_position="並び順に従った判定",
    own_answers="このモデルは採点した回答を書いたモデルでもあります。モデルは自分の回答を高く評価しがちです。",
    judges_note=(
        "順序の正しい組：検証で正解とされたサンプルを不正解のものより高く採点した割合です。常に正しければ 1、偶然なら 0.5 です。"
        "選別で除いたサンプルも含みます。"
    ),
    diversity="多様性",
    part="対象",
    parts={"question": "質問", "answer": "回答"},
    measured="測った行数",
    distinct="異なり率",
    compression="圧縮比",
    diversity_note=(
        "異なり率：1、2、3 語（かなと漢字は 1 字ずつ）の並びのうち、異なるものの割合です。"
        "圧縮比：圧縮で何分の 1 になるかを示し、大きいほど繰り返しが多いことを表します。"
    ),
    course="時間の経過",
    requests_a_minute="1 分あたりの送信数",
    tokens_a_second="1 秒あたりの出力トークン",
    money_so_far="費用の累計",
    course_note="リクエストを送った時刻によるもので、再開した分もすべて含みます。",
    at_most="最大 {}",
    breaks="長く送信のなかった時間は除いています（{} 回）。",
    spending="トークンと費用",
    stage="段階",
    teacher="教師",
    attempts="送信",
    failed="使えなかった応答",
    prompt_tokens="入力トークン",
    completion_tokens="出力トークン",
    total="合計",
    budget="予算",
    lost="失われた送信",
    still_charged="（費用に計上）",
    examples="行の例",
    no_rows="この実行では行ができませんでした。",
    more_rows="ほか {} 件",
    roles={"system": "システム", "user": "ユーザー", "assistant": "アシスタント", "tool": "ツール"},
    reasoning="推論",
    left_out="文字をこのページでは省略しました",
    provenance="来歴",
    recipe="レシピ",
    recipe_text="実行したレシピ",
    template="テンプレート",
    source="シードの出所",
    model="モデル",
    served="応答が名乗ったモデル",
    host="ホスト",
    sampling="サンプリング",
    terms="出力を学習に使うことについての規約",
    verdicts={
        "allowed": "許可",
        "allowed_with_duties": "義務付きで許可",
        "restricted": "制限あり",
        "unknown": "不明",
    },
    reported="、伝聞",
    unknown="不明",
    price="100 万トークンあたりの価格",
    licence="ライセンス",
    no_licence="指定なし（公開できません）",
    time="日時",
    versions="バージョン",
    parked="保留",
    repeated="除いた重複シード：",
    practice_teacher="練習用の教師",
    price_unknown="価格不明のため含まない：",
    scoring="採点",
    by_meaning="意味の比較",
    gates="重複",
    gates_saved="重複として {prompts} 件のプロンプトを先に除いたため、最大でおよそ {replies} 件の応答{cost}を買わずに済みました。ほかのプロンプトの平均からの見積もりです。",
    pair_distribution="比べた組の類似度",
    pair_note="比べた組は {count} 組です。棒の高さは件数の平方根に比例します。類似度 {threshold} から同じものとみなします（ごく短いテキストでは基準が高くなります）。",
    no_pairs="似たテキストの組はありませんでした。",
    unrelated_pairs="無関係なテキストどうしの意味の近さ：{}",
    unrelated_note="異なる {texts} 件のテキストを総当たりで比べた {count} 組のうち、{usual} を超えるのは千組に一組です。そこから 1 までの四分の三に当たる {threshold} 以上で数値も同じものを、同じ意味とみなします。棒の尺度は上の図と同じです。",
    given_threshold="レシピの指定により、類似度 {} 以上で数値も同じものを、同じ意味とみなします。",
    scripts={
        "latin": "ラテン文字",
        "japanese": "日本語",
        "chinese": "中国語",
        "korean": "韓国語",
        "other": "その他の文字",
    },
    same_meaning="既出と同じ意味：",
    uncompared="ベクトルがない、または同じ文字種のテキストが少ないため比べていないもの：",
    unremembered="容量のため比較の相手として残していないもの：",
    cluster_sizes="まとまりの大きさ",
    texts="{} 件",
    texts_or_more="{} 件以上",
    largest_clusters="大きなまとまり",
    kept_earlier="以前のデータにあるか、何も作られませんでした。",
    more_twins="件の重複をこのページでは省略しました",
    shares="どの教師モデルが答えたか",
    answers="回答",
    of_use="使えた回答",
    per_use="使えた1件あたりの費用",
    rows_by_model="モデル別の行数",
    ladder="構造化出力の得かた",
    rung="方法",
    asked="応答",
    fitted="スキーマに合致",
    rungs={
        "exact": "そのまま合致",
        "mended": "手元で修復",
        "fields": "合わない項目だけ再依頼",
        "whole": "全体を再依頼",
        "fresh": "改めて依頼",
        "fallback": "別の教師",
    },
    reasons={
        "duplicate": "既出と同じ",
        "near_duplicate": "既出とほぼ同じ",
        "semantic_duplicate": "既出と同じ意味",
        "repeated_seed": "シードの重複",
        "contaminated": "ベンチマークの問題を含む",
        "not_novel": "既存データと重複",
        "seed_full": "同じシードからの行が上限に達した",
        "not_best": "別の候補のほうが良い",
        "not_balanced": "ほかの値より多い",
        "not_diverse": "より良い行に似すぎている",
        "below_threshold": "スコア不足",
        "not_asked": "停止前に未送信",
        "parked": "使える返答がまだない",
        "beyond_target": "必要数を超過",
        "by_hand": "人の判断で不採用",
        "refusal": "教師が回答を拒否",
        "soft_refusal": "答えずにはぐらかした",
        "prompt_leak": "指示文の繰り返し",
        "template_leak": "テンプレートの残り",
        "self_identification": "モデル自身への言及",
        "placeholder": "空欄が残っている",
        "missing_reference": "無いものへの参照",
        "mixed_script": "別の文字体系の混入",
        "damaged_text": "文字化け",
        "broken_markdown": "Markdownの崩れ",
        "broken_tool_call": "ツール呼び出しの崩れ",
        "merged_instructions": "二つの課題の混在",
        "pii": "個人情報",
        "toxic": "罵倒語",
        "template_quota": "同じ型が多すぎる",
        "teacher_refused": "教師が回答を拒否",
        "truncated": "途中で切れている",
        "truncated_empty": "本文の前に切れている",
        "repetition": "同じ言葉の繰り返し",
        "wrong_language": "別の言語で回答",
        "no_final_answer": "最終的な答えがない",
        "too_short": "短すぎる",
        "too_long": "長すぎる",
        "invalid_json": "JSONとして不正",
        "invalid_output": "求めた形式と異なる",
        "no_verdict": "採点の結果が得られない",
        "schema_mismatch": "スキーマに合わない",
        "no_instructions": "指示が含まれない",
        "no_reference": "シードに正解がない",
        "empty_question": "質問が空",
        "empty_answer": "答えが空",
        "template_error": "テンプレートのエラー",
        "not_mentioned": "述べるべきことがない",
        "not_kept": "残すべきものが失われた",
        "foreign_units": "読み手の使わない単位や通貨",
        "other_register": "求めた文体と違う",
        "mixed_register": "文体が混ざっている",
        "no_reasoning": "推論がない",
        "not_declined": "文書にないことに答えた",
        "declined": "文書にあるのにないと答えた",
        "no_citation": "典拠を示していない",
        "wrong_citation": "ない典拠を示している",
        "invalid_tools": "ツールの定義の誤り",
        "unknown_tool": "ないツールの呼び出し",
        "too_many_calls": "呼び出しが終わらない",
        "wrong_tool_use": "呼び出しの過不足",
        "no_answer": "呼び出しも答えもない",
        "not_in_passage": "典拠にないことを述べている",
        "plugin_error": "プラグインのエラー",
        "role_slip": "相手の役で発言",
        "echo": "前の発言の繰り返し",
        "hollow": "中身がない",
        "no_gain": "書き換えても同じ内容",
    },
    failures={
        "rate": "レート制限",
        "capacity": "サーバーが混雑",
        "transient": "サーバーエラー",
        "unreachable": "接続できず",
        "ambiguous": "接続切れ",
        "malformed": "読み取れない応答",
        "poison": "毎回同じ失敗",
        "teacher_refused": "教師が回答を拒否",
        "truncated_empty": "本文の前に切れている",
        "permanent": "要求を拒否",
        "repetition": "繰り返しのため打ち切り",
        "fatal": "実行を停止",
        "lost": "クラッシュで喪失",
        "open": "応答待ち",
        "unsent": "未送信",
        "reused": "以前の実行から",
        "unserved": "未処理（バッチ内、または複数の応答の一つ）",
    },
)


def duration(seconds: float, language: str) -> str:
    """A duration for people: `2 min 5 s`, `2 分 5 秒`."""
    units = (" 時間", " 分", " 秒") if language == "ja" else (" h", " min", " s")
    if seconds < 60:
        return f"{seconds:.1f}{units[2]}"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{units[1]} {rest}{units[2]}"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,}{units[0]} {minutes}{units[1]}"


def moment(iso: str) -> str:
    """An ISO 8601 time for people: `2026-11-24 12:00:00 UTC`."""
    return iso.replace("T", " ").replace("+00:00", " UTC")
