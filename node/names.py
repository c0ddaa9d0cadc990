"""What user ids and names may be, as JSON Schema says it; `router.model` is what checks them.

The patterns are those of ECMA 262 in Unicode mode. C and Z are what `str.isprintable` refuses.
"""

from typing import Final

from router.model import MAX_NAME_CHARACTERS, MAX_USER_CHARACTERS

USER_SCHEMA: Final = {
    "minLength": 1,
    "maxLength": MAX_USER_CHARACTERS,
    "pattern": r"^[^\p{C}\p{Z}{}]+$",
}
NAME_SCHEMA: Final = {
    "minLength": 1,
    "maxLength": MAX_NAME_CHARACTERS,
    "pattern": r"^[A-Za-z0-9_-]+$",
}
