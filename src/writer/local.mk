# writer: the process that alone writes the log of a data directory.
noinst_LIBRARIES += libtkwriter.a
libtkwriter_a_SOURCES = \
	src/writer/appends.c \
	src/writer/apply.c \
	src/writer/cleaned.c \
	src/writer/durable.c \
	src/writer/journal_wait.c \
	src/writer/lists.c \
	src/writer/partitions.c \
	src/writer/room.c \
	src/writer/serve.c \
	src/writer/strays.c \
	src/writer/syncer.c src/writer/syncer.h \
	src/writer/trouble.c \
	src/writer/upkeep.c src/writer/idle_producers.c \
	src/writer/watches.c \
	src/writer/writer.c src/writer/writer.h \
	src/writer/writer_private.h
