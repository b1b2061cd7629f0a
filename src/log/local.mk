# log
noinst_LIBRARIES += libtklog.a
libtklog_a_SOURCES = \
	src/log/batch.h \
	src/log/log.h \
	src/log/logdir.h \
	src/log/segments.h \
	src/log/zone.c src/log/zone.h
