UNIT_TESTS += tests/unit/test_server
tests_unit_test_server_SOURCES = tests/unit/test_server.c
tests_unit_test_server_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_server_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test_conn
tests_unit_test_conn_SOURCES = tests/unit/test_conn.c tests/unit/test_conn_env.h
tests_unit_test_conn_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_conn_LDADD = libtkmodules.a $(UNIT_LDADD)
tests_unit_test_conn_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=tk_clock_mono_ms

UNIT_TESTS += tests/unit/test_links
tests_unit_test_links_SOURCES = tests/unit/test_links.c tests/unit/test_conn_env.h
tests_unit_test_links_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_links_LDADD = libtkmodules.a $(UNIT_LDADD)
tests_unit_test_links_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=tk_clock_mono_ms
