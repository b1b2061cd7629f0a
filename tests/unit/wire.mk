# rows of the wire tests; wire_gen_fill.c is made by src/wire/local.mk
UNIT_TESTS += tests/unit/test_wire_codec tests/unit/test_wire_messages tests/unit/test_wire_golden
WIRE_TEST_HELP = tests/unit/test_wire.h tests/unit/test_wire_fill.c
EXTRA_DIST += tests/unit/data/wire
WIRE_TEST_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/unit

tests_unit_test_wire_codec_SOURCES = tests/unit/test_wire_codec.c $(WIRE_TEST_HELP)
tests_unit_test_wire_codec_CPPFLAGS = $(WIRE_TEST_CPPFLAGS)
tests_unit_test_wire_codec_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_wire_codec_LDADD = $(UNIT_LDADD)

# --wrap tells the test where in the bytes the generated decoders look for what.
tests_unit_test_wire_messages_SOURCES = tests/unit/test_wire_messages.c \
	src/wire/wire_gen_fill.c $(WIRE_TEST_HELP)
tests_unit_test_wire_messages_CPPFLAGS = $(WIRE_TEST_CPPFLAGS)
tests_unit_test_wire_messages_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_wire_messages_LDADD = $(UNIT_LDADD)
tests_unit_test_wire_messages_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=tk_tags_begin,--wrap=tk_tags_skip_all \
	-Wl,--wrap=tk_decode_string,--wrap=tk_decode_bytes \
	-Wl,--wrap=tk_decode_records,--wrap=tk_decode_array

tests_unit_test_wire_golden_SOURCES = tests/unit/test_wire_golden.c $(WIRE_TEST_HELP)
tests_unit_test_wire_golden_CPPFLAGS = $(WIRE_TEST_CPPFLAGS)
tests_unit_test_wire_golden_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_wire_golden_LDADD = $(UNIT_LDADD)
