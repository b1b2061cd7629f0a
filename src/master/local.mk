# master: the process that owns the others, and the program all of them are.
noinst_LIBRARIES += libtkmaster.a
libtkmaster_a_SOURCES = \
	src/master/client.c src/master/client.h \
	src/master/commands.c \
	src/master/control.c src/master/control.h \
	src/master/cycle.c \
	src/master/daemon.c src/master/daemon.h \
	src/master/limits.c \
	src/master/listen.c \
	src/master/master.c src/master/master.h \
	src/master/options.c src/master/options.h \
	src/master/orders.c \
	src/master/privilege.c \
	src/master/reap.c \
	src/master/reload.c \
	src/master/rundir.c \
	src/master/signals.c \
	src/master/slot.c \
	src/master/spawn.c \
	src/master/start.c \
	src/master/status.c \
	src/master/stop.c \
	src/master/watch.c \
	src/os/notify.h src/os/notify_systemd.c \
	src/os/portholder.h src/os/portholder_linux.c

sbin_PROGRAMS += takhin
takhin_SOURCES = src/master/main.c
takhin_LDADD = libtkmaster.a libtkworker.a libtkwriter.a libtkcoordinator.a libtkcleaner.a \
	libtkmodules.a $(TK_LIBS) $(TK_LDADD)
EXTRA_DIST += contrib/takhin.service
