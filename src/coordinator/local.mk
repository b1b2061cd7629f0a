# coordinator: the process that decides what is in the metadata.
noinst_LIBRARIES += libtkcoordinator.a
libtkcoordinator_a_SOURCES = \
	src/coordinator/alter_configs.c \
	src/coordinator/commit.c \
	src/coordinator/coordinator.c src/coordinator/coordinator.h \
	src/coordinator/coordinator_private.h \
	src/coordinator/create_partitions.c \
	src/coordinator/create_topics.c \
	src/coordinator/delete_topics.c \
	src/coordinator/jobs.c \
	src/coordinator/producer_ids.c \
	src/coordinator/refusals.c \
	src/coordinator/slots.c \
	src/coordinator/writers.c
$(libtkcoordinator_a_OBJECTS): src/wire/wire_gen.h
