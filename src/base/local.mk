# base: what every process uses and no system call shapes.
takhininclude_HEADERS += include/takhin/base.h include/takhin/arena.h include/takhin/chain.h
noinst_LIBRARIES += libtkbase.a
libtkbase_a_SOURCES = \
	src/base/arena.c \
	src/base/chain.c \
	src/base/clock.c src/base/clock.h \
	src/base/crc32c.c src/base/crc32c.h \
	src/base/endian.h \
	src/base/errlog.c src/base/errlog.h \
	src/base/hash128.c src/base/hash128.h \
	src/base/heap.c src/base/heap.h \
	src/base/killpoint.c src/base/killpoint.h \
	src/base/map.c src/base/map.h \
	src/base/panic.c \
	src/base/uuid.c src/base/uuid.h \
	src/base/settings.c src/base/settings.h src/base/settings_private.h \
	src/base/settings_broker.c \
	src/base/settings_check.c \
	src/base/settings_guess.c \
	src/base/settings_net.c \
	src/base/settings_print.c \
	src/base/settings_read.c \
	src/base/settings_rows.c \
	src/base/settings_scan.c \
	src/base/settings_text.c \
	src/base/topic_config.c src/base/topic_config.h \
	src/base/topic_config_rows.c
