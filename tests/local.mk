# Fuzz targets (./configure --enable-fuzz with clang), the bench, and what make check holds of the
# tree itself.
if FUZZ
FUZZ_CFLAGS = $(AM_CFLAGS) -fsanitize=fuzzer
FUZZ_LINK = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/fuzz_frames tests/fuzz/fuzz_decoders tests/fuzz/fuzz_batches \
	tests/fuzz/fuzz_metadata
tests_fuzz_fuzz_frames_SOURCES = tests/fuzz/fuzz_frames.c modules/decode/kafka.c
tests_fuzz_fuzz_frames_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_fuzz_frames_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_frames_LDADD = $(TK_LIBS) $(TK_LDADD)
tests_fuzz_fuzz_decoders_SOURCES = tests/fuzz/fuzz_decoders.c
tests_fuzz_fuzz_decoders_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_fuzz_decoders_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_decoders_LDADD = $(TK_LIBS) $(TK_LDADD)
tests_fuzz_fuzz_batches_SOURCES = tests/fuzz/fuzz_batches.c
tests_fuzz_fuzz_batches_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_fuzz_batches_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_batches_LDADD = $(TK_LIBS) $(TK_LDADD)
tests_fuzz_fuzz_metadata_SOURCES = tests/fuzz/fuzz_metadata.c
tests_fuzz_fuzz_metadata_CFLAGS = $(FUZZ_CFLAGS)
tests_fuzz_fuzz_metadata_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_metadata_LDADD = $(TK_LIBS) $(TK_LDADD)
endif

noinst_PROGRAMS += tests/bench/bench
tests_bench_bench_SOURCES = tests/bench/bench.c
tests_bench_bench_LDADD = $(TK_LIBS) $(TK_LDADD)

# Preloaded by tests/crash; a program only by automake's count, and no sanitizer's.
check_PROGRAMS += tests/crash/shim.so
tests_crash_shim_so_SOURCES = tests/crash/shim.c
tests_crash_shim_so_CFLAGS = $(TK_WARN) -O1 -fPIC
tests_crash_shim_so_LDFLAGS = -shared
tests_crash_shim_so_LDADD = -ldl

TESTS += tests/style.sh
EXTRA_DIST += tests/style.sh tests/system tests/compat tests/crash tests/bench/run \
	tests/bench/restart tests/bench/restart.py
AM_TESTS_ENVIRONMENT = TAKHIN_SOURCE_DIR='$(abs_top_srcdir)' TAKHIN_BUILD_DIR='$(abs_top_builddir)' \
	CC='$(CC)'; export TAKHIN_SOURCE_DIR TAKHIN_BUILD_DIR CC;

# A folder is distributed with what tests have left in it; that stays here.
dist-hook:
	find '$(distdir)/tests' '(' -name '*.log' -o -name '*.trs' -o -name __pycache__ ')' -prune \
		-exec rm -rf '{}' +
