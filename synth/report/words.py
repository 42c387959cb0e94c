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
    duration: str
    per_row: str
    tokens: str
    states: dict[str, str]
    practice_title: str
    practice: str
    way: str
    way_note: str
    rejections: str
    no_rejections: str
    kept_twin: str
    similarity: str
    not_kept: str
    scores: str
    no_scores: str
    mean: str
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
    unknown: str
    price: str
    licence: str
    no_licence: str
    time: str
    versions: str
    parked: str
    repeated: str
    practice_teacher: str


ENGLISH = Words(
    language="en",
    report="Run report",
    rows="Rows",
    seeds="Seeds",
    drafts="drafts",
    accepted="accepted",
    cost="Cost",
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
    rejections="Why samples were refused",
    no_rejections="No sample was refused.",
    kept_twin="The one that was kept",
    similarity="similarity",
    not_kept="There was no text to keep.",
    scores="Scores of the rows",
    no_scores="The rows carry no scores.",
    mean="mean",
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
    roles={"system": "System", "user": "User", "assistant": "Assistant"},
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
    unknown="unknown",
    price="Price per million tokens",
    licence="Licence",
    no_licence="none given; not to be published",
    time="Time",
    versions="Versions",
    parked="set aside",
    repeated="Repeated seeds dropped:",
    practice_teacher="practice teacher",
)

JAPANESE = Words(
    language="ja",
    report="実行レポート",
    rows="行",
    seeds="シード",
    drafts="下書き",
    accepted="採用",
    cost="費用",
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
    rejections="不採用の理由",
    no_rejections="不採用のサンプルはありません。",
    kept_twin="採用されたほう",
    similarity="類似度",
    not_kept="残すテキストがありませんでした。",
    scores="行のスコア",
    no_scores="スコアはありません。",
    mean="平均",
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
    roles={"system": "システム", "user": "ユーザー", "assistant": "アシスタント"},
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
    unknown="不明",
    price="100 万トークンあたりの価格",
    licence="ライセンス",
    no_licence="指定なし（公開できません）",
    time="日時",
    versions="バージョン",
    parked="保留",
    repeated="除いた重複シード：",
    practice_teacher="練習用の教師",
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
