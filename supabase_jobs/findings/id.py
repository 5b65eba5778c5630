"""The id of a check or a finding."""


class Id(str):
    """A text that reports print and users name, made of parts: the area or the kind, the object,
    and what tells it from others of the object. Nobody takes the text apart, as it knows them.
    """

    parts: tuple[str, ...]

    def __new__(cls, *parts: str) -> "Id":
        """The parts that are not '', with colons between them."""
        given = tuple(part for part in parts if part)
        made = super().__new__(cls, ":".join(given))
        made.parts = given
        return made

    def ends_with(self, *parts: str) -> bool:
        """Whether these are its last parts."""
        return self.parts[-len(parts) :] == parts

    def within(self, *outer: str) -> tuple[str, ...]:
        """The parts after the outer ones, such as an area and an object, with which it begins."""
        parts = self.parts
        for one in outer:
            if parts[0] == one and len(parts) > 1:
                parts = parts[1:]
        return parts
