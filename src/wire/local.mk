# wire
noinst_LIBRARIES += libtkwire.a
libtkwire_a_SOURCES =
