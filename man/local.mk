# man
dist_man_MANS += man/takhin.conf.5 man/takhin.8 man/takhinctl.1 man/takhin-dump.1
TESTS += man/check-lint
EXTRA_DIST += man/check-lint man/takhin.conf.5.in
