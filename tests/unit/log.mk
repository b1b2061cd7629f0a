# rows of the log tests: UNIT_TESTS += tests/unit/test_x; tests_unit_test_x_SOURCES = ..., _CFLAGS = $(UNIT_CFLAGS), _LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test_batch tests/unit/test_codec tests/unit/test_reader \
	tests/unit/test_time_search tests/unit/test_log_read
EXTRA_DIST += tests/unit/test_batch_make.h tests/unit/test_log_make.h tests/fuzz/fuzz_batches.c
tests_unit_test_batch_SOURCES = tests/unit/test_batch.c
tests_unit_test_batch_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_batch_LDADD = $(UNIT_LDADD)
tests_unit_test_codec_SOURCES = tests/unit/test_codec.c
tests_unit_test_codec_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_codec_LDADD = $(UNIT_LDADD)
tests_unit_test_reader_SOURCES = tests/unit/test_reader.c
tests_unit_test_reader_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_reader_LDADD = $(UNIT_LDADD)
tests_unit_test_time_search_SOURCES = tests/unit/test_time_search.c
tests_unit_test_time_search_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_time_search_LDADD = $(UNIT_LDADD)
tests_unit_test_log_read_SOURCES = tests/unit/test_log_read.c
tests_unit_test_log_read_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_log_read_LDADD = $(UNIT_LDADD)

# the writer's side
UNIT_TESTS += tests/unit/test_zone \
	tests/unit/test_log_append \
	tests/unit/test_log_index \
	tests/unit/test_producers \
	tests/unit/test_log_producers \
	tests/unit/test_log_crash \
	tests/unit/test_log_trust \
	tests/unit/test_log_recovery \
	tests/unit/test_log_faults
EXTRA_DIST += tests/unit/test_log_env.h
tests_unit_test_zone_SOURCES = tests/unit/test_zone.c
tests_unit_test_zone_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_zone_LDADD = $(UNIT_LDADD)
tests_unit_test_log_append_SOURCES = tests/unit/test_log_append.c
tests_unit_test_log_append_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_log_append_LDADD = $(UNIT_LDADD)
tests_unit_test_log_index_SOURCES = tests/unit/test_log_index.c
tests_unit_test_log_index_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_log_index_LDADD = $(UNIT_LDADD)
tests_unit_test_producers_SOURCES = tests/unit/test_producers.c
tests_unit_test_producers_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_producers_LDADD = $(UNIT_LDADD)
tests_unit_test_log_producers_SOURCES = tests/unit/test_log_producers.c
tests_unit_test_log_producers_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_log_producers_LDADD = $(UNIT_LDADD)
tests_unit_test_log_crash_SOURCES = tests/unit/test_log_crash.c
tests_unit_test_log_crash_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_log_crash_LDADD = $(UNIT_LDADD)
tests_unit_test_log_trust_SOURCES = tests/unit/test_log_trust.c
tests_unit_test_log_trust_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_log_trust_LDADD = $(UNIT_LDADD)
tests_unit_test_log_recovery_SOURCES = tests/unit/test_log_recovery.c
tests_unit_test_log_recovery_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_log_recovery_LDADD = $(UNIT_LDADD)
tests_unit_test_log_faults_SOURCES = tests/unit/test_log_faults.c
tests_unit_test_log_faults_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_log_faults_LDADD = $(UNIT_LDADD)
