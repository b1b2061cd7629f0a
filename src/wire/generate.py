#!/usr/bin/env python3
"""Turns the schemas of src/wire/schema into C.

usage: generate.py header|source|fill SCHEMA... > FILE

header  wire_gen.h: structs and prototypes
source  wire_gen.c: init, decode, encode and the table of APIs
fill    wire_gen_fill.c: random values for every message, for the round-trip test

Runs at build time with Python's own library only; a release tarball holds its output.  The
notation is described in src/wire/README.md.

Names.  A message is tk_<api>_request, tk_<api>_response, tk_<data> or tk_<header>; a struct inside
of it is tk_<message>_<name of the struct in the schema>, whatever its depth.  CamelCase becomes
snake_case; a field X that is an array becomes the members x and x_count.
"""

import os
import re
import sys

FOREVER = 1 << 15

# Wire type -> C type, bytes on the wire.
SCALARS = {
    'bool': ('bool', 1), 'int8': ('int8_t', 1), 'int16': ('int16_t', 2),
    'int32': ('int32_t', 4), 'int64': ('int64_t', 8), 'uint16': ('uint16_t', 2),
    'uint32': ('uint32_t', 4), 'uuid': ('struct tk_uuid', 16),
}
SLICES = ('string', 'bytes', 'records')


class SchemaError(Exception):
    pass


def snake(name):
    """FirstOffset -> first_offset, TopicId -> topic_id, TTLMs -> ttl_ms."""
    name = re.sub(r'([A-Z]+)([A-Z][a-z])', r'\1_\2', name)
    return re.sub(r'([a-z0-9])([A-Z])', r'\1_\2', name).lower()


class Versions:
    """An inclusive range of versions."""

    def __init__(self, low, high):
        self.low, self.high = low, high

    @classmethod
    def parse(cls, text):
        match = re.fullmatch(r'(\d+)(?:(\+)|-(\d+))?', text)
        if not match:
            raise SchemaError('"%s" is not a range of versions' % text)
        low = int(match[1])
        high = FOREVER if match[2] else int(match[3] or low)
        if high < low:
            raise SchemaError('"%s" is a range of no versions' % text)
        return cls(low, high)

    def within(self, other):
        return Versions(max(self.low, other.low), min(self.high, other.high))

    def empty(self):
        return self.low > self.high

    def __contains__(self, version):
        return self.low <= version <= self.high

    def text(self):
        if self.high >= FOREVER:
            return '%d+' % self.low
        return '%d' % self.low if self.low == self.high else '%d-%d' % (self.low, self.high)

    def condition(self, outer):
        """The C expression that tells these versions among outer's, or None for all of them."""
        if self.low <= outer.low and self.high >= outer.high:
            return None
        if self.low == self.high:
            return 'version == %d' % self.low
        if self.high >= outer.high:
            return 'version >= %d' % self.low
        if self.low <= outer.low:
            return 'version <= %d' % self.high
        return 'version >= %d && version <= %d' % (self.low, self.high)


class Struct:
    def __init__(self, name, c_name, versions):
        self.name, self.c_name, self.versions = name, c_name, versions
        self.fields = []

    def tagged(self):
        return sorted((f for f in self.fields if f.tag is not None), key=lambda f: f.tag)

    def plain(self):
        return [f for f in self.fields if f.tag is None]

    def short(self):
        return self.c_name[len('tk_'):]


class Field:
    """One line of a schema."""

    LINE = re.compile(r'(?P<name>\w+): (?P<array>\[\])?(?P<type>\w+) (?P<versions>\S+)(?P<rest>.*)')

    def __init__(self, text):
        match = self.LINE.fullmatch(text)
        if not match:
            raise SchemaError('not a field')
        self.name, self.type = match['name'], match['type']
        self.c_name = snake(self.name)
        self.array = match['array'] is not None
        self.declared = Versions.parse(match['versions'])
        self.null = self.tag = self.default = self.struct = None
        self.never_flex = False
        for word in match['rest'].split():
            self.note(word)

    def note(self, word):
        if word == 'null':
            self.null = Versions(0, FOREVER)
        elif word.startswith('null='):
            self.null = Versions.parse(word[5:])
        elif word.startswith('tag='):
            self.tag = int(word[4:])
        elif word == 'flex=none':
            self.never_flex = True
        elif word.startswith('='):
            self.default = word[1:]
        else:
            raise SchemaError('"%s" is not known' % word)

    def settle(self, outer):
        """What depends on the versions of the struct around it."""
        self.versions = self.declared.within(outer)
        if self.versions.empty():
            raise SchemaError('"%s" exists in no version that is served' % self.name)
        if self.null is not None:
            self.null = self.null.within(self.versions)
        is_struct = self.type not in SCALARS and self.type not in SLICES
        if is_struct and not self.type[0].isupper():
            raise SchemaError('"%s" is not a type' % self.type)
        if self.null and not self.array and self.type in SCALARS:
            raise SchemaError('"%s" cannot be null' % self.name)
        if self.tag is not None and is_struct and not self.array and self.null:
            raise SchemaError('"%s": a tagged nullable struct is not supported' % self.name)
        if self.array and self.type in ('records', 'bool'):
            raise SchemaError('"%s": an array of %s is not supported' % (self.name, self.type))

    def is_struct(self):
        return self.struct is not None

    def is_pointer(self):
        """A struct that may be null."""
        return self.is_struct() and not self.array and self.null is not None

    def default_null(self):
        return self.default == 'null'

    def default_number(self):
        """The default of a scalar as a C expression, None for zero."""
        text = self.default
        if text in (None, '0', 'false', '""'):
            return None
        if text == 'true':
            return 'true'
        number = int(text, 0)
        if number == -(1 << 31):
            return 'INT32_MIN'
        if number == (1 << 31) - 1:
            return 'INT32_MAX'
        if number == (1 << 63) - 1:
            return 'INT64_MAX'
        return str(number)

    def remark(self):
        words = ['versions ' + self.declared.text()]
        if self.null is not None:
            words.append('nullable' if self.null.low <= self.versions.low and
                         self.null.high >= self.versions.high else
                         'nullable ' + self.null.text())
        if self.tag is not None:
            words.append('tag %d' % self.tag)
        if self.default is not None:
            words.append('default ' + self.default)
        return ', '.join(words)


class Message:
    def __init__(self, kind, name, versions, flexible, key=None, api=None):
        self.kind, self.name, self.versions, self.key, self.api = kind, name, versions, key, api
        self.flexible = flexible  # the first flexible version, or FOREVER
        self.root = Struct(name, 'tk_' + snake(name), versions)
        self.structs = []  # inner ones first

    def flex(self, outer):
        """C for whether the version is flexible, among outer's versions."""
        if self.flexible <= outer.low:
            return 'true'
        return 'false' if self.flexible > outer.high else 'flex'


class Api:
    def __init__(self, name, key, versions, flexible):
        self.name, self.key, self.versions, self.flexible = name, key, versions, flexible
        self.request = Message('request', name + 'Request', versions, flexible, key, self)
        self.response = Message('response', name + 'Response', versions, flexible, key, self)


class Parser:
    """Reads schema files into apis (by key) and messages (all of them, in order)."""

    HEAD = re.compile(r'(?P<kind>api|header|data) (?P<name>\w+)(?: key=(?P<key>\d+))?'
                      r' versions=(?P<versions>\S+) flexible=(?P<flexible>\S+)')

    def __init__(self):
        self.apis, self.messages = {}, []
        self.api, self.message = None, None
        self.stack = []  # structs that are open, with their indentation

    def read(self, path):
        self.api = self.message = None
        with open(path, encoding='utf-8') as file:
            for number, line in enumerate(file, 1):
                text = line.rstrip()
                if not text or text.lstrip().startswith('#'):
                    continue
                try:
                    self.line(text)
                except (SchemaError, ValueError) as error:
                    sys.exit('%s:%d: %s: %s' % (path, number, text.strip(), error))

    def line(self, text):
        head = self.HEAD.fullmatch(text)
        if head:
            self.head(head)
        elif text in ('request', 'response') and self.api:
            self.open(getattr(self.api, text))
        elif text.startswith(' ') and self.message:
            self.field(len(text) - len(text.lstrip()), text.strip())
        else:
            raise SchemaError('not understood')

    def head(self, head):
        versions = Versions.parse(head['versions'])
        flexible = FOREVER if head['flexible'] == 'none' else Versions.parse(head['flexible']).low
        if versions.high >= FOREVER:
            raise SchemaError('the versions that are served have an end')
        self.api = self.message = None
        if head['kind'] != 'api':
            self.open(Message(head['kind'], head['name'], versions, flexible))
            return
        key = int(head['key'])
        if key in self.apis:
            raise SchemaError('key %d is taken' % key)
        self.api = self.apis[key] = Api(head['name'], key, versions, flexible)

    def open(self, message):
        if any(other.name == message.name for other in self.messages):
            raise SchemaError('"%s" is there already' % message.name)
        self.message = message
        self.messages.append(message)
        self.stack = [(2, message.root)]
        message.structs = [message.root]

    def field(self, indent, text):
        while self.stack and self.stack[-1][0] > indent:
            self.stack.pop()
        if not self.stack or self.stack[-1][0] != indent:
            raise SchemaError('indented by neither 2 more nor as much as a struct that is open')
        outer = self.stack[-1][1]
        field = Field(text)
        field.settle(outer.versions)
        if field.tag is not None and field.versions.low < self.message.flexible:
            raise SchemaError('tagged in versions that are not flexible')
        if any(other.c_name == field.c_name for other in outer.fields):
            raise SchemaError('the field is there already')
        if field.type not in SCALARS and field.type not in SLICES:
            self.struct(indent + 2, field)
        outer.fields.append(field)

    def struct(self, indent, field):
        c_name = self.message.root.c_name + '_' + snake(field.type)
        if any(other.c_name == c_name for other in self.message.structs):
            raise SchemaError('struct "%s" is there already' % field.type)
        field.struct = Struct(field.type, c_name, field.versions)
        self.message.structs.insert(0, field.struct)
        self.stack.append((indent, field.struct))

    def check(self):
        for message in self.messages:
            for struct in message.structs:
                tags = [f.tag for f in struct.fields if f.tag is not None]
                if not struct.fields and struct is not message.root:
                    sys.exit('%s: a struct of no fields' % struct.c_name)
                if len(set(tags)) != len(tags):
                    sys.exit('%s: a tag is used twice' % struct.c_name)


class Writer:
    """Lines of C, indented with tabs."""

    def __init__(self):
        self.lines = []

    def put(self, text='', depth=0):
        self.lines.append(('\t' * depth + text).rstrip())

    def call(self, head, args, depth, tail=';'):
        """head(args)tail, folded at 100 columns."""
        text = '%s(%s)%s' % (head, ', '.join(args), tail)
        if 8 * depth + len(text) <= 100:
            self.put(text, depth)
            return
        line = head + '('
        for i, arg in enumerate(args):
            piece = arg + (',' if i + 1 < len(args) else ')' + tail)
            if 8 * depth + len(line) + 1 + len(piece) > 100:
                self.put(line.rstrip(), depth)
                line = '    ' + piece + ' '
            else:
                line += piece + ' '
        self.put(line.rstrip(), depth)

    def function(self, result, name, args, static=True):
        self.put(('static ' if static else '') + result)
        self.call(name, args, 0, '')
        self.put('{')

    def end(self):
        self.put('}')
        self.put()

    def text(self):
        while self.lines and not self.lines[-1]:
            self.lines.pop()
        return '\n'.join(self.lines) + '\n'


def uses(name, body):
    """Whether the lines look at the variable; msg->name is another one."""
    return re.search(r'(?<!->)\b%s\b' % name, body.text())


def c_bool(versions, outer):
    """C for "the version is one of these", where one of outer's is given."""
    if versions is None or versions.empty():
        return 'false'
    return versions.condition(outer) or 'true'


def element_size(message, field, version):
    """Bytes the smallest element (or value, if it is no array) of a field takes."""
    flex = version >= message.flexible and not field.never_flex
    if field.type in SCALARS:
        return SCALARS[field.type][1]
    if field.type == 'string':
        return 1 if flex else 2
    if field.type in SLICES:
        return 1 if flex else 4
    size = 1 if flex else 0
    for inner in field.struct.plain():
        if version not in inner.versions:
            continue
        if inner.array:
            size += 1 if version >= message.flexible else 4
        elif inner.is_pointer():
            size += 1
        else:
            size += element_size(message, inner, version)
    return size


class Generator:
    def __init__(self, parser):
        self.apis = [parser.apis[key] for key in sorted(parser.apis)]
        self.messages = parser.messages

    # ---- header

    def header(self):
        out = Writer()
        out.put('''/*
 * Generated by src/wire/generate.py from src/wire/schema: the messages as structs.
 *
 * A message is tk_<api>_request, tk_<api>_response, tk_<data> or tk_<header>; a struct inside of it
 * is tk_<message>_<struct>.  CamelCase became snake_case; an array x has its length in x_count, -1
 * for the null array.  Null strings and bytes have data NULL; a nullable struct is a pointer.
 *
 *	tk_x_init(msg)			sets every field to its default
 *	tk_x_decode(dec, version, &msg)	false for malformed bytes: then msg holds the defaults
 *	tk_x_encode(chain, version, msg)	sets chain->failed where it could not
 *
 * The version must be one of those that are served (TK_X_MIN_VERSION to TK_X_MAX_VERSION): what a
 * peer asks for is checked before.  Fields that do not exist in the version are left at their
 * default by the decoder and skipped by the encoder.  What was decoded points into the decoder's
 * buffer and its arena.  An encoder takes over the references of file ranges, also when it fails.
 */
#ifndef TK_WIRE_GEN_H
#define TK_WIRE_GEN_H

#include "wire/codec.h"
''')
        self.header_keys(out)
        for message in self.messages:
            self.header_message(out, message)
        self.header_table(out)
        out.put('#endif')
        return out.text()

    def header_keys(self, out):
        out.put('enum tk_api_key {')
        for i, api in enumerate(self.apis):
            out.put('TK_API_%s = %d%s' % (snake(api.name).upper(), api.key,
                                          ',' if i + 1 < len(self.apis) else ''), 1)
        out.put('};')
        out.put()

    def header_message(self, out, message):
        owner = message.api or message
        out.put('/* %s, versions %s, flexible from %s */' % (
            message.name, message.versions.text(),
            'none' if message.flexible == FOREVER else message.flexible))
        if message.kind != 'response':
            prefix = 'TK_' + snake(owner.name).upper()
            out.put('#define %s_MIN_VERSION %d' % (prefix, message.versions.low))
            out.put('#define %s_MAX_VERSION %d' % (prefix, message.versions.high))
        out.put()
        for struct in message.structs:
            self.header_struct(out, struct)
        for struct in message.structs:
            out.call('void %s_init' % struct.c_name, ['struct %s *msg' % struct.c_name], 0)
        name = message.root.c_name
        out.call('bool %s_decode' % name, ['struct tk_decoder *dec', 'int version',
                                           'struct %s *ret_msg' % name], 0)
        out.call('void %s_encode' % name, ['struct tk_chain *chain', 'int version',
                                           'const struct %s *msg' % name], 0)
        out.put()

    def header_struct(self, out, struct):
        out.put('struct %s {' % struct.c_name)
        for field in struct.fields:
            line = '%s; /* %s */' % (self.member(field), field.remark())
            if len(line) > 92:
                out.put('/* %s */' % field.remark(), 1)
                line = self.member(field) + ';'
            out.put(line, 1)
            if field.array:
                out.put('int32_t %s_count;' % field.c_name, 1)
        out.put('};')
        out.put()

    def member(self, field):
        star = '*' if field.array or field.is_pointer() else ''
        return '%s %s%s' % (self.c_type(field), star, field.c_name)

    def c_type(self, field):
        if field.is_struct():
            return 'struct ' + field.struct.c_name
        if field.type in SCALARS:
            return SCALARS[field.type][0]
        if field.type == 'records' and field.in_response:
            return 'struct tk_records'
        return 'struct tk_bytes'

    def header_table(self, out):
        out.put('''/* What is served, by ascending key; wire/api.h finds a row.  The functions are those above. */
struct tk_api_schema {
	int16_t key;
	const char *name;
	int16_t min_version, max_version;
	int16_t flexible_from; /* INT16_MAX for never */
	size_t request_size, response_size;
	void (*init_request)(void *msg);
	bool (*decode_request)(struct tk_decoder *dec, int version, void *ret_msg);
	void (*encode_request)(struct tk_chain *chain, int version, const void *msg);
	void (*init_response)(void *msg);
	bool (*decode_response)(struct tk_decoder *dec, int version, void *ret_msg);
	void (*encode_response)(struct tk_chain *chain, int version, const void *msg);
};
''')
        out.put('#define TK_API_SCHEMAS_COUNT %d' % len(self.apis))
        out.put('''
extern const struct tk_api_schema tk_api_schemas[TK_API_SCHEMAS_COUNT];
''')

    # ---- source

    def source(self):
        out = Writer()
        out.put('''/*
 * Generated by src/wire/generate.py from src/wire/schema: init, decode and encode of the messages.
 */
#include "wire/wire_gen.h"

#include "base/uuid.h"
''')
        for message in self.messages:
            self.source_message(out, message)
        self.source_table(out)
        return out.text()

    def source_message(self, out, message):
        out.put('/* ---- %s ---- */' % message.name)
        out.put()
        for struct in message.structs:
            self.init(out, struct)
        tagged = [f.struct for s in message.structs for f in s.tagged()
                  if f.is_struct() and not f.array]
        for struct in message.structs:
            is_root = struct is message.root
            has_section = struct.tagged() and self.flexible(message, struct)
            if has_section:
                self.decode_tags(out, message, struct)
            self.decode(out, message, struct, is_root)
            if struct in tagged:
                self.is_default(out, struct)
            if has_section:
                self.encode_tags(out, message, struct)
            self.encode(out, message, struct, is_root)

    def init(self, out, struct):
        out.function('void', struct.c_name + '_init', ['struct %s *msg' % struct.c_name], False)
        values = [(f.c_name + ('_count' if f.array else ''), v) for f in struct.fields
                  for v in [self.default(f)] if v is not None]
        if values:
            out.put('*msg = (struct %s){' % struct.c_name, 1)
            for name, value in values:
                out.put('.%s = %s,' % (name, value), 2)
            out.put('};', 1)
        else:
            out.put('*msg = (struct %s){ 0 };' % struct.c_name, 1)
        for field in struct.fields:
            if field.is_struct() and not field.array and not field.is_pointer():
                out.put('%s_init(&msg->%s);' % (field.struct.c_name, field.c_name), 1)
        out.end()

    def default(self, field):
        if field.array:
            return '-1' if field.default_null() else None
        if field.is_struct() or field.default_null() or field.type == 'uuid':
            return None
        if field.type == 'records' and field.in_response:
            return '{ .mem = TK_BYTES_EMPTY }'
        if field.type in SLICES:
            return 'TK_BYTES_EMPTY'
        return field.default_number()

    def is_default_value(self, field):
        """C that is true where a field has its default."""
        name = 'msg->' + field.c_name
        if field.array:
            return name + ('_count < 0' if field.default_null() else '_count <= 0')
        if field.is_struct():
            return '%s_is_default(&%s)' % (field.struct.short(), name)
        if field.type == 'uuid':
            return 'tk_uuid_is_zero(&%s)' % name
        if field.type in SLICES:
            return name + ('.data == NULL' if field.default_null() else '.len == 0')
        if field.type == 'bool':
            return name if field.default_number() else '!' + name
        return '%s == %s' % (name, field.default_number() or '0')

    def is_default(self, out, struct):
        out.function('bool', struct.short() + '_is_default',
                     ['const struct %s *msg' % struct.c_name])
        tests = [self.is_default_value(f) for f in struct.fields]
        out.put('return ' + ' &&\n\t    '.join(tests) + ';', 1)
        out.end()

    def prologue(self, out, message, struct, is_root, body):
        """What the body of an encoder or decoder needs to know."""
        if is_root:
            out.put('tk_assert(version >= %d && version <= %d);' %
                    (message.versions.low, message.versions.high), 1)
        elif not uses('version', body) and not uses('flex', body):
            out.put('(void)version;', 1)
        out.lines += body.lines

    def flex_line(self, out, message, struct, body):
        """Declares flex if the body looks at it; true if it did."""
        if not uses('flex', body):
            return False
        out.put('const bool flex = version >= %d;' % message.flexible, 1)
        return True

    def decode(self, out, message, struct, is_root):
        body = Writer()
        for field in struct.plain():
            self.versioned(body, struct, field,
                           lambda w, d, f=field: self.decode_field(w, d, message, f))
        self.tags_call(body, message, struct, '%s_decode_tags(dec, version, msg);' % struct.short()
                       if struct.tagged() else 'tk_tags_skip_all(dec);')
        name = struct.c_name if is_root else struct.short()
        out.function('bool' if is_root else 'void', name + '_decode',
                     ['struct tk_decoder *dec', 'int version',
                      'struct %s *%s' % (struct.c_name, 'ret_msg' if is_root else 'msg')],
                     not is_root)
        declared = self.flex_line(out, message, struct, body)
        if is_root and struct.fields:
            out.put('struct %s *msg = ret_msg;' % struct.c_name, 1)
            declared = True
        if declared:
            out.put()
        target = 'msg' if struct.fields else 'ret_msg'
        prologue = Writer()
        prologue.put('%s_init(%s);' % (struct.c_name, target), 1)
        prologue.lines += body.lines
        self.prologue(out, message, struct, is_root, prologue)
        if is_root:
            out.put('if (dec->failed)', 1)
            out.put('%s_init(%s);' % (struct.c_name, target), 2)
            out.put('return !dec->failed;', 1)
        out.end()

    def versioned(self, out, struct, field, emit):
        """Emits what a field takes, in the versions it exists in."""
        condition = field.versions.condition(struct.versions)
        if condition is None:
            emit(out, 1)
            return
        inner = Writer()
        emit(inner, 2)
        braces = len(inner.lines) > 1
        out.put('if (%s)%s' % (condition, ' {' if braces else ''), 1)
        out.lines += inner.lines
        if braces:
            out.put('}', 1)

    def flags(self, message, field):
        """The arguments flex and nullable."""
        flex = 'false' if field.never_flex else message.flex(field.versions)
        return [flex, c_bool(field.null, field.versions)]

    def decode_value(self, message, field):
        if field.type in SCALARS:
            return 'tk_decode_%s(dec)' % field.type
        kind = field.type
        if kind == 'records' and not field.in_response:
            kind = 'bytes'
        return 'tk_decode_%s(dec, %s)' % (kind, ', '.join(self.flags(message, field)))

    def decode_field(self, out, depth, message, field):
        name = 'msg->' + field.c_name
        if field.array:
            self.decode_array(out, depth, message, field)
        elif field.is_pointer():
            out.put('if (tk_decode_present(dec))', depth)
            out.put('%s = tk_decode_alloc(dec, sizeof(*%s));' % (name, name), depth + 1)
            out.put('if (%s != NULL)' % name, depth)
            out.put('%s_decode(dec, version, %s);' % (field.struct.short(), name), depth + 1)
        elif field.is_struct():
            out.put('%s_decode(dec, version, &%s);' % (field.struct.short(), name), depth)
        else:
            out.put('%s = %s;' % (name, self.decode_value(message, field)), depth)

    def decode_array(self, out, depth, message, field):
        name = 'msg->' + field.c_name
        out.call(name + ' = tk_decode_array',
                 ['dec'] + self.flags(message, field) +
                 [self.minimum(message, field), 'sizeof(*%s)' % name, '&%s_count' % name], depth)
        out.put('for (int32_t i = 0; i < %s_count && !dec->failed; i++)' % name, depth)
        if field.is_struct():
            out.call(field.struct.short() + '_decode', ['dec', 'version', '&%s[i]' % name],
                     depth + 1)
        elif field.type in SCALARS:
            out.put('%s[i] = tk_decode_%s(dec);' % (name, field.type), depth + 1)
        else:
            flex = self.flags(message, field)[0]
            out.put('%s[i] = tk_decode_%s(dec, %s, false);' % (name, field.type, flex), depth + 1)

    def minimum(self, message, field):
        """C for the smallest size of an element."""
        sizes = [(v, max(1, element_size(message, field, v)))
                 for v in range(field.versions.low, field.versions.high + 1)]
        # Runs of one size, newest first.
        text = None
        for i, (version, size) in enumerate(sizes):
            if i and sizes[i - 1][1] == size:
                continue
            text = str(size) if text is None else 'version >= %d ? %d : %s' % (version, size, text)
        return text

    def flexible(self, message, struct):
        """The flexible ones among the versions of a struct, or None."""
        versions = Versions(message.flexible, FOREVER).within(struct.versions)
        return None if versions.empty() else versions

    def tags_call(self, out, message, struct, call):
        """Emits the call that reads or writes the section, in the versions that have one."""
        flexible = self.flexible(message, struct)
        if flexible is None:
            return
        if flexible.condition(struct.versions):
            out.put('if (flex)', 1)
            out.put(call, 2)
        else:
            out.put(call, 1)

    def version_unused(self, out, body):
        if not uses('version', body):
            out.put('(void)version;', 1)
        out.lines += body.lines

    def decode_tags(self, out, message, struct):
        """The function that reads the tagged fields of a struct that has some."""
        flexible = self.flexible(message, struct)
        out.function('void', struct.short() + '_decode_tags',
                     ['struct tk_decoder *dec', 'int version', 'struct %s *msg' % struct.c_name])
        out.put('struct tk_tags tags;', 1)
        out.put()
        body = Writer()
        body.put('for (tk_tags_begin(dec, &tags); tk_tags_next(dec, &tags);) {', 1)
        body.put('switch (tags.tag) {', 2)
        for field in struct.tagged():
            self.decode_tag(body, 2, message, flexible, field)
        body.put('default:', 2)
        body.put('tk_tags_skip(dec);', 3)
        body.put('}', 2)
        body.put('}', 1)
        self.version_unused(out, body)
        out.end()

    def decode_tag(self, out, depth, message, flexible, field):
        out.put('case %d: /* %s */' % (field.tag, field.name), depth)
        condition = field.versions.condition(flexible)
        if condition:
            out.put('if (%s)' % condition, depth + 1)
            inner = Writer()
            self.decode_field(inner, depth + 2, message, field)
            if len(inner.lines) > 1:
                out.lines[-1] += ' {'
            out.lines += inner.lines
            if len(inner.lines) > 1:
                out.put('} else {', depth + 1)
            else:
                out.put('else', depth + 1)
            out.put('tk_tags_skip(dec);', depth + 2)
            if len(inner.lines) > 1:
                out.put('}', depth + 1)
        else:
            self.decode_field(out, depth + 1, message, field)
        out.put('break;', depth + 1)

    def encode(self, out, message, struct, is_root):
        body = Writer()
        for field in struct.plain():
            self.versioned(body, struct, field,
                           lambda w, d, f=field: self.encode_field(w, d, message, f, 'chain'))
        self.tags_call(body, message, struct,
                       '%s_encode_tags(chain, version, msg);' % struct.short()
                       if struct.tagged() else 'tk_encode_uvarint(chain, 0);')
        name = struct.c_name if is_root else struct.short()
        out.function('void', name + '_encode',
                     ['struct tk_chain *chain', 'int version',
                      'const struct %s *msg' % struct.c_name], not is_root)
        if self.flex_line(out, message, struct, body):
            out.put()
        if not uses('msg', body):
            body.lines.insert(0, '\t(void)msg;')
        if not uses('chain', body):
            body.lines.insert(0, '\t(void)chain;')
        self.prologue(out, message, struct, is_root, body)
        out.end()

    def encode_field(self, out, depth, message, field, chain):
        name = 'msg->' + field.c_name
        flags = self.flags(message, field)
        if field.array:
            out.call('tk_encode_count', [chain] + flags + [name + '_count'], depth)
            out.put('for (int32_t i = 0; i < %s_count; i++)' % name, depth)
            if field.is_struct():
                out.call(field.struct.short() + '_encode',
                         [chain, 'version', '&%s[i]' % name], depth + 1)
            elif field.type in SCALARS:
                out.put('tk_encode_%s(%s, %s[i]);' % (field.type, chain, name), depth + 1)
            else:
                out.call('tk_encode_' + field.type,
                         [chain, flags[0], 'false', name + '[i]'], depth + 1)
        elif field.is_pointer():
            out.put('tk_encode_int8(%s, %s != NULL ? 1 : -1);' % (chain, name), depth)
            out.put('if (%s != NULL)' % name, depth)
            out.put('%s_encode(%s, version, %s);' % (field.struct.short(), chain, name), depth + 1)
        elif field.is_struct():
            out.put('%s_encode(%s, version, &%s);' % (field.struct.short(), chain, name), depth)
        elif field.type in SCALARS:
            out.put('tk_encode_%s(%s, %s);' % (field.type, chain, name), depth)
        elif field.type == 'records':
            verb = 'records' if field.in_response else 'records_bytes'
            out.call('tk_encode_' + verb,
                     [chain] + flags + [('&' if field.in_response else '') + name], depth)
        else:
            out.call('tk_encode_' + field.type, [chain] + flags + [name], depth)

    def encode_tags(self, out, message, struct):
        """The function that writes the tagged fields of a struct that has some."""
        flexible = self.flexible(message, struct)
        out.function('void', struct.short() + '_encode_tags',
                     ['struct tk_chain *chain', 'int version',
                      'const struct %s *msg' % struct.c_name])
        body = Writer()
        for field in struct.tagged():
            when = field.versions.condition(flexible)
            line = 'const bool has_%s = %s%s;' % (
                field.c_name, when + ' && ' if when else '', self.negated(field))
            if len(line) > 92:
                head, tail = line.split(' = ', 1)
                body.put(head + ' =', 1)
                line = '    ' + tail
            body.put(line, 1)
        body.put('struct tk_chain scratch;', 1)
        body.put('uint32_t count = 0;', 1)
        body.put()
        for field in struct.tagged():
            body.put('count += has_%s ? 1 : 0;' % field.c_name, 1)
        body.put('tk_encode_uvarint(chain, count);', 1)
        for field in struct.tagged():
            body.put('if (has_%s) {' % field.c_name, 1)
            body.put('tk_encode_tag_begin(chain, &scratch);', 2)
            self.encode_field(body, 2, message, field, '&scratch')
            body.put('tk_encode_tag_end(chain, %d, &scratch);' % field.tag, 2)
            body.put('}', 1)
        if not uses('version', body):
            body.put('(void)version;', 1)
        out.lines += body.lines
        out.end()

    def negated(self, field):
        test = self.is_default_value(field)
        if test.startswith('!'):
            return test[1:]
        for this, that in ((' == ', ' != '), (' <= ', ' > '), (' < ', ' >= ')):
            if this in test:
                return test.replace(this, that, 1)
        return '!' + test

    def source_table(self, out):
        out.put('''/* ---- the table ---- */

/* The functions of a message, for whoever does not know which one it is. */
#define ANY(message)                                                                             \\
	static void message##_init_any(void *msg)                                                \\
	{                                                                                        \\
		tk_##message##_init(msg);                                                        \\
	}                                                                                        \\
	static bool message##_decode_any(struct tk_decoder *dec, int version, void *ret_msg)     \\
	{                                                                                        \\
		return tk_##message##_decode(dec, version, ret_msg);                             \\
	}                                                                                        \\
	static void message##_encode_any(struct tk_chain *chain, int version, const void *msg)   \\
	{                                                                                        \\
		tk_##message##_encode(chain, version, msg);                                      \\
	}
''')
        for api in self.apis:
            for message in (api.request, api.response):
                out.put('ANY(%s)' % message.root.short())
        out.put()
        out.put('''#define SIDES(api)                                                                               \\
	.request_size = sizeof(struct tk_##api##_request),                                       \\
	.response_size = sizeof(struct tk_##api##_response),                                     \\
	.init_request = api##_request_init_any, .decode_request = api##_request_decode_any,      \\
	.encode_request = api##_request_encode_any, .init_response = api##_response_init_any,    \\
	.decode_response = api##_response_decode_any, .encode_response = api##_response_encode_any
''')
        out.put()
        out.put('const struct tk_api_schema tk_api_schemas[TK_API_SCHEMAS_COUNT] = {')
        for api in self.apis:
            flexible = 'INT16_MAX' if api.flexible == FOREVER else str(api.flexible)
            out.put('{ %d, "%s", %d, %d, %s, SIDES(%s) },' % (
                api.key, api.name, api.versions.low, api.versions.high, flexible,
                snake(api.name)), 1)
        out.put('};')

    # ---- random values, for the tests

    def fill(self):
        out = Writer()
        out.put('''/*
 * Generated by src/wire/generate.py from src/wire/schema: random values for every message, in the
 * fields that exist in a version.
 */
#include "test_wire.h"
''')
        for message in self.messages:
            for struct in message.structs:
                self.fill_struct(out, message, struct)
        for message in self.messages:
            out.put('FILL_ANY(%s)' % message.root.short())
        out.put()
        out.put('const struct wire_message wire_messages[] = {')
        for message in self.messages:
            flexible = 'INT16_MAX' if message.flexible == FOREVER else message.flexible
            out.put('FILL_ROW(%s, "%s", %d, %d, %s),' % (
                message.root.short(), message.name, message.versions.low, message.versions.high,
                flexible), 1)
        out.put('};')
        out.put('const size_t wire_messages_count = TK_COUNT_OF(wire_messages);')
        return out.text()

    def fill_struct(self, out, message, struct):
        body = Writer()
        for field in struct.fields:
            self.versioned(body, struct, field,
                           lambda w, d, f=field: self.fill_field(w, d, f))
        out.function('void', struct.short() + '_fill',
                     ['struct wire_fill *fill', 'int version', 'struct %s *msg' % struct.c_name])
        out.put('%s_init(msg);' % struct.c_name, 1)
        for word in ('fill', 'version'):
            if not uses(word, body):
                out.put('(void)%s;' % word, 1)
        out.lines += body.lines
        out.end()

    def fill_field(self, out, depth, field):
        name = 'msg->' + field.c_name
        null = c_bool(field.null, field.versions)
        if field.array:
            out.call(name + ' = wire_fill_array',
                     ['fill', null, 'sizeof(*%s)' % name, '&%s_count' % name], depth)
            out.put('for (int32_t i = 0; i < %s_count; i++)' % name, depth)
            if field.is_struct():
                out.call(field.struct.short() + '_fill', ['fill', 'version', '&%s[i]' % name],
                     depth + 1)
            elif field.type in SCALARS:
                out.put('%s[i] = wire_fill_%s(fill);' % (name, field.type), depth + 1)
            else:
                out.put('%s[i] = wire_fill_%s(fill, false);' % (name, field.type), depth + 1)
        elif field.is_pointer():
            out.put('%s = wire_fill_struct(fill, sizeof(*%s));' % (name, name), depth)
            out.put('if (%s != NULL)' % name, depth)
            out.put('%s_fill(fill, version, %s);' % (field.struct.short(), name), depth + 1)
        elif field.is_struct():
            out.put('%s_fill(fill, version, &%s);' % (field.struct.short(), name), depth)
        elif field.type in SCALARS:
            out.put('%s = wire_fill_%s(fill);' % (name, field.type), depth)
        else:
            kind = field.type
            if kind == 'records' and not field.in_response:
                kind = 'bytes'
            out.put('%s = wire_fill_%s(fill, %s);' % (name, kind, null), depth)


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ('header', 'source', 'fill'):
        sys.exit(__doc__)
    parser = Parser()
    for path in sorted(sys.argv[2:], key=os.path.basename):
        parser.read(path)
    parser.check()
    for message in parser.messages:
        for struct in message.structs:
            for field in struct.fields:
                field.in_response = message.kind == 'response'
    sys.stdout.write(getattr(Generator(parser), sys.argv[1])())


if __name__ == '__main__':
    main()
