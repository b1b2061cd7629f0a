# Unit tests: one CUnit program a library or subject; each row here is one of them.
if HAVE_CUNIT
UNIT_CFLAGS = $(AM_CFLAGS) $(CUNIT_CFLAGS)
UNIT_LDADD = $(TK_LIBS) $(TK_LDADD) $(CUNIT_LIBS)
UNIT_TESTS =
include tests/unit/base.mk
include tests/unit/wire.mk
include tests/unit/log.mk
include tests/unit/settings.mk
include tests/unit/server.mk
include tests/unit/writer.mk
include tests/unit/meta.mk
check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)
endif
EXTRA_DIST += tests/unit/unit.h
