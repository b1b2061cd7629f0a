# rows of the log tests: UNIT_TESTS += tests/unit/test_x; tests_unit_test_x_SOURCES = ..., _CFLAGS = $(UNIT_CFLAGS), _LDADD = $(UNIT_LDADD)

UNIT_TESTS += tests/unit/test_batch tests/unit/test_codec tests/unit/test_reader
EXTRA_DIST += tests/unit/test_batch_make.h tests/unit/test_log_make.h
tests_unit_test_batch_SOURCES = tests/unit/test_batch.c
tests_unit_test_batch_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_batch_LDADD = $(UNIT_LDADD)
tests_unit_test_codec_SOURCES = tests/unit/test_codec.c
tests_unit_test_codec_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_codec_LDADD = $(UNIT_LDADD)
tests_unit_test_reader_SOURCES = tests/unit/test_reader.c
tests_unit_test_reader_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_reader_LDADD = $(UNIT_LDADD)
