"""Databases of installed packages: dpkg, apk, pacman, rpm in its three backends; each gives values of `package.Package`.

It may import what `cosinspect.formats` may. `dpkg`, `apk` and `pacman` read text. `rpm_header` reads one package of rpm, `rpm_sqlite`, `rpm_ndb`
and `rpm_bdb` the files that hold them; `package_url` names a package for other tools.
"""
