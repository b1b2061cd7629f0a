# server: cycle, processes, event loop, channels; and, for workers, connections and the pipeline.
takhininclude_HEADERS += include/takhin/loop.h
noinst_LIBRARIES += libtkserver.a
libtkserver_a_SOURCES = \
	src/server/channel.c src/server/channel.h \
	src/server/counters.h \
	src/server/cycle.h \
	src/server/frames.h \
	src/server/loop.c \
	src/server/process.c src/server/process.h
