# The settings tests need the base library only.
SETTINGS_LDADD = libtkbase.a $(TK_LDADD) $(CUNIT_LIBS)
UNIT_TESTS += tests/unit/test_settings
tests_unit_test_settings_SOURCES = tests/unit/test_settings.c tests/unit/test_settings.h
tests_unit_test_settings_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_settings_LDADD = $(SETTINGS_LDADD)
UNIT_TESTS += tests/unit/test_settings_print
tests_unit_test_settings_print_SOURCES = tests/unit/test_settings_print.c tests/unit/test_settings.h
tests_unit_test_settings_print_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_settings_print_LDADD = $(SETTINGS_LDADD)
UNIT_TESTS += tests/unit/test_settings_net
tests_unit_test_settings_net_SOURCES = tests/unit/test_settings_net.c tests/unit/test_settings.h
tests_unit_test_settings_net_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_settings_net_LDADD = $(SETTINGS_LDADD)
UNIT_TESTS += tests/unit/test_settings_topic
tests_unit_test_settings_topic_SOURCES = tests/unit/test_settings_topic.c tests/unit/test_settings.h
tests_unit_test_settings_topic_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_settings_topic_LDADD = $(SETTINGS_LDADD)
