"""注意深い読み手が注文から読み取る項目です。自分の項目に書き換え、説明も読み手に話すつもりで書いてください。"""

from pydantic import BaseModel, ConfigDict, Field


class Order(BaseModel):
    """店に届いた注文一件。"""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="注文した人の名前。敬称は付けない")
    city: str | None = Field(description="届け先の町。書かれていなければnull")
    item: str = Field(description="品物。文面での呼び方のまま")
    quantity: int = Field(ge=1, description="個数（数）")
    day: int | None = Field(ge=1, le=31, description="希望する日の日付の数字。書かれていなければnullにする")
