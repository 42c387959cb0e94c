"""What the row browser says, in English and Japanese."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BrowserWords:
    """Labels of the row browser in one language; `{}` is where a number, or a name, goes."""

    title: str
    figures: str
    figures_about: str
    or_more: str
    of_which: str
    about: str
    no_script: str
    search: str
    search_example: str
    filters: str
    any: str
    state: str
    rows: str
    refused: str
    decided: str
    reason: str
    stage: str
    teacher: str
    split: str
    script: str
    length: str
    score: str
    least: str
    most: str
    order: str
    in_order: str
    longest: str
    shortest: str
    highest: str
    lowest: str
    clear: str
    found: str
    searching: str
    nothing: str
    left_out: str
    full_texts: str
    full_going: str
    full_done: str
    list: str
    keys: str
    choose: str
    previous: str
    next: str
    back: str
    missing: str
    foreign: str
    characters: str
    detail: str
    twin: str
    repairs: str
    seed: str
    cost: str
    trace: str
    copy: str
    copied: str
    accept: str
    reject: str
    edit: str
    undo: str
    save_edit: str
    cancel: str
    note: str
    before: str
    undecidable: str
    decisions: str
    none_yet: str
    counted: str
    who: str
    save: str
    load: str
    apply: str
    loaded: str
    not_loaded: str
    other_run: str
    not_kept: str
    accepted: str
    rejected: str
    edited: str
    undone: str


ENGLISH = BrowserWords(
    title="All rows and refusals",
    figures="What the rows are like",
    figures_about="of what fits the search and the filters below; press a bar to filter by it.",
    or_more="{} or more",
    of_which="{} rows, {} refused",
    about="Choose a row to read it whole. What you decide stays in this browser until you save it to a file.",
    no_script="This list needs JavaScript; `synth show FOLDER` shows the rows in a terminal.",
    search="Search",
    search_example="words in a question or answer, or an id",
    filters="Filters",
    any="all",
    state="State",
    rows="rows",
    refused="refused",
    decided="decided by you",
    reason="Reason",
    stage="Stage",
    teacher="Model",
    split="Split",
    script="Script",
    length="Characters",
    score="Score",
    least="at least",
    most="at most",
    order="Order",
    in_order="as in the files",
    longest="longest first",
    shortest="shortest first",
    highest="highest {}",
    lowest="lowest {}",
    clear="Clear",
    found="{} of {}",
    searching="{} so far, {} % looked through",
    nothing="Nothing fits. Clear the search or a filter.",
    left_out="Only the first {} are listed here; {} more lie in rows.jsonl and rejected.jsonl.",
    full_texts="Search the full texts too ({} files)",
    full_going="Searching the full texts: {} of {} files",
    full_done="The full texts were searched too.",
    list="Rows",
    keys="Arrow keys or J and K move, Enter reads, A accepts, R rejects, E edits, Ctrl+Enter keeps the edit, U takes back, / searches.",
    choose="Choose a row in the list.",
    previous="Previous",
    next="Next",
    back="List",
    missing="The full text lies in {}, which is not there. Keep the folder beside report.html, and unpack a zip before opening it.",
    foreign="{} belongs to another export of this run. Export the run again.",
    characters="{} characters",
    detail="Why",
    twin="The one that was kept",
    repairs="Mended",
    seed="Seed",
    cost="Cost",
    trace="Copy the trace command",
    copy="Copy",
    copied="Copied",
    accept="Accept",
    reject="Reject",
    edit="Edit",
    undo="Take back",
    save_edit="Keep this text",
    cancel="Cancel",
    note="Note",
    before="Before the edit",
    undecidable="It was refused before it became a row, so nothing can be decided here; change the check in the recipe.",
    decisions="Your decisions",
    none_yet="None yet.",
    counted="{} accepted, {} rejected, {} edited",
    who="Your name",
    save="Save decisions to a file",
    load="Load decisions",
    apply="Then, in the folder where the file was saved:",
    loaded="{} decisions were loaded.",
    not_loaded="This is no file of decisions.",
    other_run="These decisions are of another run.",
    not_kept="This browser keeps nothing for this page; save the decisions to a file before you leave.",
    accepted="accepted by you",
    rejected="rejected by you",
    edited="edited by you",
    undone="Taken back",
)

JAPANESE = BrowserWords(
    title="すべての行と不採用",
    figures="行の内訳",
    figures_about="下の検索と条件に合うものの件数です。棒を押すと、その条件で絞り込めます。",
    or_more="{} 以上",
    of_which="採用 {} 件、不採用 {} 件",
    about="行を選ぶと全文が読めます。判断は、ファイルに保存するまでこのブラウザーに残ります。",
    no_script="この一覧には JavaScript が必要です。`synth show FOLDER` でも端末で行を見られます。",
    search="検索",
    search_example="質問や回答の語句、または ID",
    filters="絞り込み",
    any="すべて",
    state="状態",
    rows="採用した行",
    refused="不採用",
    decided="自分で判断したもの",
    reason="理由",
    stage="段階",
    teacher="モデル",
    split="分割",
    script="文字",
    length="文字数",
    score="スコア",
    least="以上",
    most="以下",
    order="並び順",
    in_order="ファイルの順",
    longest="長い順",
    shortest="短い順",
    highest="{} の高い順",
    lowest="{} の低い順",
    clear="条件を消す",
    found="{} 件（全 {} 件）",
    searching="検索中：{} 件（{} %）",
    nothing="該当するものがありません。検索語か条件を消してください。",
    left_out="ここには最初の {} 件だけを載せています。残りの {} 件は rows.jsonl と rejected.jsonl にあります。",
    full_texts="全文も検索する（{} ファイル）",
    full_going="全文を検索中：{} / {} ファイル",
    full_done="全文も検索しました。",
    list="行",
    keys="矢印キーか J・K で移動、Enter で読む、A 採用、R 不採用、E 編集、Ctrl+Enter で編集を確定、U 取り消し、/ 検索。",
    choose="一覧から行を選んでください。",
    previous="前へ",
    next="次へ",
    back="一覧",
    missing="全文は {} にありますが、見つかりません。フォルダーを report.html と同じ場所に置き、zip は展開してから開いてください。",
    foreign="{} はこの実行の別の書き出しのものです。もう一度書き出してください。",
    characters="{} 字",
    detail="詳細",
    twin="採用されたほう",
    repairs="修復",
    seed="シード",
    cost="費用",
    trace="trace コマンドをコピー",
    copy="コピー",
    copied="コピーしました",
    accept="採用",
    reject="不採用",
    edit="編集",
    undo="取り消し",
    save_edit="この文にする",
    cancel="やめる",
    note="メモ",
    before="編集前",
    undecidable="行になる前に不採用となったため、ここでは判断できません。レシピの検査を変えてください。",
    decisions="自分の判断",
    none_yet="まだありません。",
    counted="採用 {} 件、不採用 {} 件、編集 {} 件",
    who="名前",
    save="判断をファイルに保存",
    load="判断を読み込む",
    apply="続けて、保存したフォルダーで：",
    loaded="{} 件の判断を読み込みました。",
    not_loaded="判断のファイルではありません。",
    other_run="別の実行についての判断です。",
    not_kept="このブラウザーはこのページの内容を保持しません。離れる前に判断をファイルに保存してください。",
    accepted="自分で採用",
    rejected="自分で不採用",
    edited="自分で編集",
    undone="取り消しました",
)
