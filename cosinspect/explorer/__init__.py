"""A terminal explorer: layers, the tree after each of them, what readers see, contents, findings, the boot.

`views` computes what is shown, without a terminal; `pages` writes the texts; `screen` shows both with textual, and is the only
module that imports it. It may import `checks`, `errors`, `facts`, `image`, `inspection`, `policy`, `report`, `rootfs`, `formats`, `limits`, `deadline`.
"""
