# log
noinst_LIBRARIES += libtklog.a
libtklog_a_SOURCES = \
	src/log/batch.c src/log/batch.h \
	src/log/batch_records.c src/log/batch_records.h \
	src/log/checkpoint.c src/log/checkpoint.h \
	src/log/checkpoint_partition.c \
	src/log/codec.c src/log/codec.h src/log/codec_private.h \
	src/log/codec_deflate.c \
	src/log/codec_snappy.c \
	src/log/index.c src/log/index.h \
	src/log/index_read.c src/log/index_read.h \
	src/log/log.c \
	src/log/log.h \
	src/log/log_append.c \
	src/log/log_delete.c \
	src/log/log_files.c \
	src/log/log_open.c \
	src/log/log_private.h \
	src/log/log_producers.c \
	src/log/log_roll.c \
	src/log/log_rescue.c \
	src/log/log_swap.c \
	src/log/log_sync.c \
	src/log/logdir.c \
	src/log/logdir.h \
	src/log/logdir_checkpoint.c \
	src/log/logdir_doomed.c \
	src/log/logdir_lock.c \
	src/log/logdir_private.h \
	src/log/logdir_trust.c \
	src/log/metaprops.c src/log/metaprops.h \
	src/log/producers.c src/log/producers.h src/log/producers_private.h \
	src/log/producers_pool.c \
	src/log/producers_file.c \
	src/log/read_cache.c \
	src/log/reader.c src/log/reader.h src/log/reader_private.h \
	src/log/reader_list.c \
	src/log/reader_locate.c \
	src/log/recovery.c \
	src/log/recovery_leftovers.c \
	src/log/recovery_tell.c \
	src/log/recovery_scan.c src/log/recovery_scan.h \
	src/log/salvage.c src/log/salvage.h \
	src/log/segment.c src/log/segment.h \
	src/log/segments.h \
	src/log/time_search.c \
	src/log/validate.c src/log/validate.h \
	src/log/zone.c src/log/zone.h
