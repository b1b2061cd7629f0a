# man
dist_man_MANS += man/takhin.conf.5
TESTS += man/check-lint
EXTRA_DIST += man/check-lint man/takhin.conf.5.in
