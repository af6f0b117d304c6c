"""The one business of all chapters: an outdoor shop with its catalogue, stock, orders, payments and
shipping.

Left out of this list: what the saga lessons import by its module (`payments`, `warehouse`,
`shipping`, `purchases`, the order as a saga and as a choreography). Left out until its chapter:
users."""

from labkit.shop.catalogue import Product, catalogue, open_shop
from labkit.shop.service import create_app

__all__ = ["Product", "catalogue", "create_app", "open_shop"]
