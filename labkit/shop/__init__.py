"""The one business of all chapters: an outdoor shop, with one model of an order.

| file | what it holds |
|---|---|
| `catalogue` | what is sold, and for how much |
| `orders` | an order: model, tables, transitions |
| `app` | the HTTP service; how orders are carried out is its parameter |
| `at_once`, `saga`, `choreography` | three ways to carry out the same order |
| `events` | what the services of the choreography tell each other |
| `payments`, `warehouse`, `shipping` | the participants, each with its trade |
| `participants` | the same three over HTTP |
| `problems` | errors on the wire |

Left out until its chapter: users and reviews."""

from typing import TYPE_CHECKING

from labkit._lazy import lazily

if TYPE_CHECKING:
    from labkit.shop.app import Fulfilment as Fulfilment
    from labkit.shop.app import create_app as create_app
    from labkit.shop.at_once import AtOnce as AtOnce
    from labkit.shop.at_once import open_shop as open_shop
    from labkit.shop.catalogue import Product as Product
    from labkit.shop.catalogue import read_catalogue as read_catalogue
    from labkit.shop.choreography import ByEvents as ByEvents
    from labkit.shop.orders import Order as Order
    from labkit.shop.orders import OrderItem as OrderItem
    from labkit.shop.orders import OrderRequest as OrderRequest
    from labkit.shop.saga import BySaga as BySaga
else:
    __all__, __getattr__, __dir__ = lazily(
        __name__,
        app="Fulfilment create_app",
        at_once="AtOnce open_shop",
        catalogue="Product read_catalogue",
        choreography="ByEvents",
        orders="Order OrderItem OrderRequest",
        saga="BySaga",
    )
