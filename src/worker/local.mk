# worker
noinst_LIBRARIES += libtkworker.a
libtkworker_a_SOURCES = src/worker/worker.c src/worker/worker.h
