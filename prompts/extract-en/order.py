"""What a careful reader takes from an order. Write your own fields, and describe each as you would to that reader."""

from pydantic import BaseModel, ConfigDict, Field


class Order(BaseModel):
    """One order that reached the shop."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="who orders")
    city: str | None = Field(description="where to, null when it is not said")
    item: str = Field(description="what is ordered, as it is called in the message")
    quantity: int = Field(ge=1, description="how many, as a number")
    day: int | None = Field(ge=1, le=31, description="the day of the month that it is wanted by, or null")
