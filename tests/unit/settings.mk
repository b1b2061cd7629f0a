# rows of the settings tests: UNIT_TESTS += tests/unit/test_x; tests_unit_test_x_SOURCES = ..., _CFLAGS = $(UNIT_CFLAGS), _LDADD = $(UNIT_LDADD)
