WRITER_TEST_LDADD = libtkwriter.a $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test_writer
tests_unit_test_writer_SOURCES = tests/unit/test_writer.c tests/unit/test_writer.h \
	tests/unit/test_batch_make.h tests/unit/test_writer_batch.h
tests_unit_test_writer_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_writer_LDADD = $(WRITER_TEST_LDADD)

UNIT_TESTS += tests/unit/test_writer_apply
tests_unit_test_writer_apply_SOURCES = tests/unit/test_writer_apply.c tests/unit/test_writer.h
tests_unit_test_writer_apply_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_writer_apply_LDADD = $(WRITER_TEST_LDADD)

UNIT_TESTS += tests/unit/test_writer_process
tests_unit_test_writer_process_SOURCES = tests/unit/test_writer_process.c \
	tests/unit/test_writer_batch.h
tests_unit_test_writer_process_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_writer_process_LDADD = $(WRITER_TEST_LDADD)

UNIT_TESTS += tests/unit/test_writer_stress
tests_unit_test_writer_stress_SOURCES = tests/unit/test_writer_stress.c tests/unit/test_writer.h
tests_unit_test_writer_stress_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_writer_stress_LDADD = $(WRITER_TEST_LDADD)

UNIT_TESTS += tests/unit/test_writer_retention
tests_unit_test_writer_retention_SOURCES = tests/unit/test_writer_retention.c
tests_unit_test_writer_retention_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_writer_retention_LDADD = libtkcleaner.a $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test_writer_durable
tests_unit_test_writer_durable_SOURCES = tests/unit/test_writer_durable.c tests/unit/test_writer.h
tests_unit_test_writer_durable_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_writer_durable_LDADD = $(WRITER_TEST_LDADD)

UNIT_TESTS += tests/unit/test_compact
tests_unit_test_compact_SOURCES = tests/unit/test_compact.c tests/unit/test_log_env.h \
	tests/unit/test_batch_make.h
tests_unit_test_compact_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_compact_LDADD = libtkcleaner.a $(UNIT_LDADD)
