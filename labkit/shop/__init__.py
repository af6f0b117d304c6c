"""The one business of all chapters: an outdoor shop with its catalogue, stock and orders.

Left out until their chapters: payments, shipping, users.
"""

from labkit.shop.catalogue import Product, catalogue, open_shop
from labkit.shop.service import create_app

__all__ = ["Product", "catalogue", "create_app", "open_shop"]
