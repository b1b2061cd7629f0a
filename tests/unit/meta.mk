# rows of the metadata's and the coordinator's tests
UNIT_TESTS += tests/unit/test_meta
tests_unit_test_meta_SOURCES = tests/unit/test_meta.c tests/unit/test_meta_env.h
tests_unit_test_meta_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_meta_LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test_coordinator
tests_unit_test_coordinator_SOURCES = tests/unit/test_coordinator.c \
	tests/unit/test_coordinator_env.h tests/unit/test_meta_env.h
tests_unit_test_coordinator_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_coordinator_LDADD = libtkcoordinator.a $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test_coordinator_configs
tests_unit_test_coordinator_configs_SOURCES = tests/unit/test_coordinator_configs.c \
	tests/unit/test_coordinator_env.h tests/unit/test_meta_env.h
tests_unit_test_coordinator_configs_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_coordinator_configs_LDADD = libtkcoordinator.a $(UNIT_LDADD)
