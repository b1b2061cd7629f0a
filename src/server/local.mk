# server: cycle, processes, event loop, channels; and, for workers, connections and the pipeline.
takhininclude_HEADERS += include/takhin/loop.h include/takhin/module.h include/takhin/request.h
noinst_LIBRARIES += libtkserver.a
libtkserver_a_SOURCES = \
	src/server/budget.c src/server/budget.h \
	src/server/channel.c src/server/channel.h \
	src/server/conn.c src/server/conn_private.h src/server/conn_room.c \
	src/server/conn_sweep.c \
	src/server/coordinator_link.c \
	src/server/counters.h \
	src/server/cycle.h \
	src/server/frames.h \
	src/server/listener.c \
	src/server/loop.c \
	src/server/part.c \
	src/server/process.c src/server/process.h \
	src/server/request.c \
	src/server/shared_arena.c src/server/shared_arena.h \
	src/server/wait.c \
	src/server/worker.h \
	src/server/writer_ask.c src/server/writer_ask.h \
	src/server/writer_link.c
