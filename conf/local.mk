# conf: the shipped settings file, the tool that prints it and its manual from the table of
# settings, and what keeps both fresh.
noinst_PROGRAMS += src/tools/settings-doc
src_tools_settings_doc_SOURCES = src/tools/settings_doc.c
src_tools_settings_doc_LDADD = libtkbase.a $(LIBCONFIG_LIBS)

# Writes them anew in the source tree; what it writes is committed.
.PHONY: settings-doc
settings-doc: src/tools/settings-doc$(EXEEXT)
	src/tools/settings-doc conf > $(srcdir)/conf/takhin.conf.tmp
	mv $(srcdir)/conf/takhin.conf.tmp $(srcdir)/conf/takhin.conf
	src/tools/settings-doc man $(srcdir)/man/takhin.conf.5.in > $(srcdir)/man/takhin.conf.5.tmp
	mv $(srcdir)/man/takhin.conf.5.tmp $(srcdir)/man/takhin.conf.5

TESTS += conf/check-fresh
EXTRA_DIST += conf/check-fresh conf/takhin.conf

# An operator's file is never overwritten: the shipped one stands beside it.
takhinconfdir = $(sysconfdir)/takhin
install-data-local:
	$(MKDIR_P) "$(DESTDIR)$(takhinconfdir)"
	$(INSTALL_DATA) $(srcdir)/conf/takhin.conf "$(DESTDIR)$(takhinconfdir)/takhin.conf.default"
	test -e "$(DESTDIR)$(takhinconfdir)/takhin.conf" || \
		$(INSTALL_DATA) $(srcdir)/conf/takhin.conf "$(DESTDIR)$(takhinconfdir)/takhin.conf"

uninstall-local:
	if cmp -s "$(DESTDIR)$(takhinconfdir)/takhin.conf" \
		"$(DESTDIR)$(takhinconfdir)/takhin.conf.default"; then \
		rm -f "$(DESTDIR)$(takhinconfdir)/takhin.conf"; fi
	rm -f "$(DESTDIR)$(takhinconfdir)/takhin.conf.default"

TESTS += tests/system/test_from_server_properties.sh
EXTRA_DIST += contrib/from-server-properties \
	tests/system/test_from_server_properties.sh \
	tests/system/test_from_server_properties.d/bare.conf \
	tests/system/test_from_server_properties.d/bare.properties \
	tests/system/test_from_server_properties.d/broken.conf \
	tests/system/test_from_server_properties.d/broken.properties \
	tests/system/test_from_server_properties.d/kraft.conf \
	tests/system/test_from_server_properties.d/kraft.properties \
	tests/system/test_from_server_properties.d/loopback.conf \
	tests/system/test_from_server_properties.d/loopback.properties \
	tests/system/test_from_server_properties.d/production.conf \
	tests/system/test_from_server_properties.d/production.properties
