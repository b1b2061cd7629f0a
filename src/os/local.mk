# os
noinst_LIBRARIES += libtkos.a
libtkos_a_SOURCES =
