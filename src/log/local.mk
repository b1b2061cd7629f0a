# log
noinst_LIBRARIES += libtklog.a
libtklog_a_SOURCES = \
	src/log/batch.c src/log/batch.h \
	src/log/batch_records.c src/log/batch_records.h \
	src/log/codec.c src/log/codec.h src/log/codec_private.h \
	src/log/codec_snappy.c \
	src/log/log.h \
	src/log/logdir.h \
	src/log/segments.h \
	src/log/index_read.c src/log/index_read.h \
	src/log/read_cache.c \
	src/log/reader.c src/log/reader.h src/log/reader_private.h \
	src/log/reader_list.c \
	src/log/reader_locate.c \
	src/log/time_search.c \
	src/log/validate.c src/log/validate.h \
	src/log/zone.c src/log/zone.h
