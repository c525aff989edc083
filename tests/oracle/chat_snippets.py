"""Small templates, each for a few rules of the language. Written for this project."""

CONTEXT = {
    "x": 3, "y": -7, "z": 2.5, "big": 12345678901234567890, "flag": True, "off": False, "nothing": None,
    "word": "Hello, World", "blank": "  \t spaced out \n ", "empty": "", "uni": "Größe naïve ΣΟΦΟΣ ǆ ﬁ 日本語 😀",
    "lines": "one\ntwo\r\n\nfour\u2028five\x1csix", "html": "<a href=\"x\">T&'s</a>",
    "numbers": [3, 1, 2, 10, 2], "words": ["pear", "Apple", "fig", "apple"], "nested": [[1, 2], [3, [4]]],
    "data": {"b": 1, "a": [1, 2.0, None], "items": "shadowed", "c d": {"e": "f"}},
    "none_list": [None, True, "q'uote", 'dou"ble', "both'\"", "tab\tnew\n", "é\u00a0\u200b😀\x7f", 1e16, 1e-5, -0.0, 123456.789],
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello!", "name": "bot"},
        {"role": "user", "content": "Bye"},
    ],
}

OUTPUT = r"""
{{ x }} {{ y }} {{ z }} {{ flag }} {{ off }} {{ nothing }} {{ missing }}|
{{ big }} {{ big + 1 }} {{ 9223372036854775807 + 1 }}
{{ numbers }} {{ words }} {{ nested }} {{ data }}
{{ none_list }}
{{ () }} {{ (1,) }} {{ (1, 'a') }} {{ [] }} {{ {} }} {{ {1: 2, 'k': none, (1, 2): [3]} }}
{{ 1.0 }} {{ 1e5 }} {{ 1e15 }} {{ 1e16 }} {{ 1.5e300 }} {{ 0.0001 }} {{ 0.00001 }} {{ 100000.0 }} {{ 1/3 }} {{ 2/1 }} {{ 123456789.123 }}
{{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1_0.5 }} {{ 1e+3 }} {{ 2.5e-3 }}
{{ 'a\tb\\n\x41\u00e9\U0001F600\'\"\101\q' }} {{ "it's" }} {{ 'a' 'b' "c" }}
{{ namespace(a=1, b='x') }} {{ range(5) }} {{ range(1, 10, 3) }} {{ range(5, 0, -2)|list }}
{{ data.keys() }} {{ data.values() }} {{ data.items() }}
{{ messages[0] }}
""".strip("\n").split("\n")

EXPRESSIONS = r"""
{{ 1 + 2 * 3 - 4 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }}
{{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 1 + 1.0 }} {{ true + true }} {{ 3 * 'ab' }} {{ 'ab' * 2 }} {{ [1, 2] * 2 }} {{ 'ab' * -1 }}| {{ (1,) + (2,) }} {{ [1] + [2] }}
{{ 'a' ~ 1 ~ none ~ 2.0 ~ missing ~ [1] }} {{ (1 ~ 2) ~ 3 + 4 ~ 5 if off else 1 + 2 ~ '' if off else 'k' }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ 'Z' < 'a' }} {{ 1 != 2 }} {{ none == none }} {{ missing == none }} {{ missing == also }}
{{ 1 in [1, 2] }} {{ 'a' in 'abc' }} {{ 'b' in data }} {{ 'zz' not in data }} {{ 1 not in (2, 3) }} {{ 3 in range(5) }} {{ 'x' in missing }} {{ not 1 in [2] }}
{{ x and y }} {{ 0 or 'fallback' }} {{ '' and 1 }}| {{ not x }} {{ not not '' }} {{ none or false }} {{ 1 and 0 or 2 }}
{{ 'yes' if x else 'no' }} {{ 'yes' if off else 'no' }} {{ 'yes' if off }}| {{ 'a' if off else 'b' if off else 'c' }} {{ ('a' if x) ~ 'z' }}
{{ numbers[0] }} {{ numbers[-1] }} {{ numbers[99] }}| {{ word[0] }} {{ word[-5:] }} {{ word[:5] }} {{ word[::-1] }} {{ word[::2] }} {{ word[5:2] }}| {{ uni[0:7] }} {{ uni[-1] }} {{ uni[::-1] }} {{ uni[10:3:-2] }}
{{ numbers[1:] }} {{ numbers[:-1] }} {{ numbers[::-1] }} {{ numbers[1:4:2] }} {{ numbers[100:] }} {{ numbers[-100:2] }} {{ numbers[4:0:-1] }} {{ (1, 2, 3)[1:] }} {{ numbers[none:2] }} {{ messages[1:][0].content }}
{{ data.b }} {{ data['b'] }} {{ data.a[1] }} {{ data['c d'].e }} {{ data.missing }}| {{ data['items'] }} {{ data.get('b') }} {{ data.get('q') }} {{ data.get('q', 'd') }} {{ nested.1.1.0 }} {{ nested[1][1][0] }}
{{ -x }} {{ +x }} {{ - -x }} {{ -z }} {{ -x|abs }} {{ -true }} {{ not x is defined }} {{ x is not defined }}
{{ (1, 2) == (1, 2) }} {{ [1] == (1,) }} {{ {'a': 1} == {'a': 1.0} }} {{ 'a' == 1 }} {{ {} == missing }}
{{ {'a': 1, 'a': 2} }} {{ {1: 'a', true: 'b', 1.0: 'c'} }} {{ {'x': {}}['x'] }} {{ {}['q'] }}|
{{ [1, 2,] }} {{ (1, 2,) }} {{ {'a': 1,} }} {{ [[]] }} {{ {'a': {'b': {}}} }}
{{ word.upper().lower().title() }} {{ word|upper|lower }} {{ (word ~ '!')|length }} {{ word.split(', ')[1] }}
{{ 5 is odd }} {{ 4 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ x is number }} {{ 'a' is string }} {{ none is none }} {{ missing is defined }} {{ missing is undefined }}
{{ data is mapping }} {{ [] is mapping }} {{ [] is sequence }} {{ 'a' is sequence }} {{ {} is sequence }} {{ 5 is sequence }} {{ [] is iterable }} {{ 'a' is iterable }} {{ 5 is iterable }} {{ missing is iterable }} {{ missing is sequence }} {{ data.items() is sequence }} {{ range(3) is sequence }} {{ (words|map('upper')) is sequence }} {{ (words|map('upper')) is iterable }}
{{ true is boolean }} {{ 1 is boolean }} {{ true is true }} {{ 1 is true }} {{ false is false }} {{ 1 is integer }} {{ true is integer }} {{ 1.0 is float }} {{ 1 is float }} {{ true is number }} {{ 'A' is upper }} {{ 'a' is lower }} {{ 'Aa' is lower }} {{ '1' is lower }}
{{ 1 is eq 1 }} {{ 1 is equalto 2 }} {{ 1 is ne 2 }} {{ 1 is lt 2 }} {{ 2 is gt 1 }} {{ 2 is ge(2) }} {{ 2 is le 1 }} {{ 1 is in [1] }} {{ 3 is not in [1] }} {{ 'a' is in 'abc' }} {{ 1 is sameas 1 }} {{ none is sameas none }} {{ true is sameas 1 }} {{ range is callable }} {{ 1 is callable }}
{{ 'upper' is filter }} {{ 'nope' is filter }} {{ 'odd' is test }} {{ 'nope' is test }} {{ '<' is test }}
{{ x is defined and x > 2 }} {{ x is string or y is number }} {{ 'q' if x is defined else 'r' }} {{ x is not none and not off }}
{{ dict(a=1, b=2) }} {{ dict({'a': 1}, b=2) }} {{ dict([('k', 'v')]) }} {{ dict(**data)|length }}
{{ '%s is %d years, %5.2f%% %r %x' % ('Al', 7, 99.5, 'q', 255) }} {{ '%s' % 5 }} {{ '%(a)s-%(b)03d' % {'a': 'x', 'b': 7} }} {{ '%-5s|%5s|%+d|% d|%05d|%e|%g|%c' % ('a', 'b', 3, 4, -5, 12345.678, 0.0001, 'z') }} {{ '%%' % () }} {{ '%s' % [1, 2] }} {{ '%.3s|%5.1s|' % ('abcdef', 'xyz') }} {{ '%i' % 3.9 }} {{ '%*d' % (5, 42) }}
{{ '{} {}'.format('a', 1) }} {{ '{1}{0}'.format('a', 'b') }} {{ '{name}!'.format(name='N') }} {{ '{0[b]} {0.b}'.format(data) }} {{ '{:>6}|{:<6}|{:^6}|{:*^7}|{:06.2f}|{:,}|{:x}|{:#x}|{:+d}|{:e}|{:.1%}'.format('a', 'b', 'c', 'd', 3.14159, 1234567, 255, 255, 5, 12345.678, 0.256) }} {{ '{{}} {!r} {!s}'.format('q', 'r') }} {{ '{:{}}|'.format('a', 4) }} {{ '{:5}|{:5}|{}'.format(42, 'ab', true) }} {{ '{:.3}'.format('abcdef') }} {{ '{:.3}'.format(3.14159) }} {{ '{0:d}'.format(7) }} {{ '{:08}'.format(-42) }} {{ '{:=+8d}'.format(42) }} {{ '{:g}'.format(1e10) }}
{{ joiner(',') is callable }} {% set j = joiner('; ') %}{{ j() }}a{{ j() }}b{{ j() }}c
{% set c = cycler('r', 'g', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.next() }}{{ c.reset() }}{{ c.next() }}
{{ strftime_now('%Y-%m-%d %H:%M:%S %b %B %a %j %%') }}|{{ strftime_now('%d %b %Y') }}
""".strip("\n").split("\n")

FILTERS = r"""
{{ blank|trim }}| {{ '..a..'|trim('.') }} {{ word|length }} {{ uni|length }} {{ uni|count }} {{ numbers|length }} {{ data|length }} {{ missing|length }} {{ range(7)|length }}
{{ word|upper }} {{ uni|upper }} {{ uni|lower }} {{ 'straße'|upper }} {{ 'hello wORLD-foo (bar) [baz] {x} <y> o\'neil'|title }} {{ 'hELLO wORLD'|capitalize }} {{ 'éa ßx'|title }} {{ 5|upper }} {{ none|lower }} {{ ''|capitalize }}|
{{ numbers|join }} {{ numbers|join(', ') }} {{ messages|join('|', attribute='role') }} {{ 'abc'|join('-') }} {{ data|join(',') }} {{ missing|join(',') }}| {{ [none, 1.5, true]|join(d='/') }}
{{ words|map('upper')|list }} {{ words|map('length')|join(',') }} {{ messages|map(attribute='role')|list }} {{ messages|map(attribute='name', default='-')|list }} {{ messages|map(attribute='name')|list|length }} {{ nested|map(attribute='1')|list }} {{ nested|map(attribute=0)|list }} {{ words|map('replace', 'p', 'q')|join(' ') }} {{ [1.26, 2.55]|map('round', 1)|list }}
{{ messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|join(',') }} {{ messages|selectattr('name')|list|length }} {{ messages|selectattr('name', 'defined')|list|length }} {{ messages|rejectattr('role', 'in', ['user', 'system'])|map(attribute='role')|list }} {{ messages|rejectattr('name', 'defined')|list|length }}
{{ numbers|select('odd')|list }} {{ numbers|reject('odd')|list }} {{ numbers|select('>', 2)|list }} {{ [0, 1, '', 'a', none]|select|list }} {{ [0, 1, '', 'a', none]|reject|list }} {{ numbers|select('in', (1, 2))|list }} {{ missing|select|list }} {{ []|selectattr('x')|list }}
{{ data|tojson }} {{ none_list|tojson }} {{ 'a"b\\c/<>&\'é😀\u2028\x01\x7f'|tojson }} {{ [1.0, 1e20, 2.5, true, none]|tojson }} {{ {'b': 1, 'a': {'d': [], 'c': {}}}|tojson(indent=2) }} {{ {'b': 1, 'a': 2}|tojson(sort_keys=true) }} {{ [1, [2, {'a': 3}]]|tojson(indent=4) }} {{ uni|tojson(ensure_ascii=true) }} {{ [1, {'a': 2}]|tojson(separators=(',', ':')) }} {{ {1: 2, none: 3, true: 4, 1.5: 5}|tojson }} {{ (1, 2)|tojson }} {{ [1, 2]|tojson(indent='--') }} {{ {}|tojson(indent=2) }} {{ [[]]|tojson(indent=1) }} {{ messages|tojson|length }}
{{ word|replace('l', 'L') }} {{ word|replace('l', 'L', 2) }} {{ 'aaa'|replace('a', 'b', count=1) }} {{ 'abc'|replace('', '-') }} {{ 123|replace(2, 'x') }} {{ ''|replace('', 'x') }} {{ 'é日'|replace('', '.') }}
{{ missing|default('d') }} {{ missing|default }}| {{ ''|default('d') }}| {{ ''|default('d', true) }} {{ none|default('d') }} {{ none|d('d', boolean=true) }} {{ x|default('d') }} {{ data.q|default(data.b) }}
{{ data|items|list }} {{ missing|items|list }} {% for k, v in data|items %}{{ k }}={{ v }};{% endfor %} {{ data|dictsort }} {{ {'b': 2, 'A': 3, 'c': 1}|dictsort }} {{ {'b': 2, 'A': 3, 'c': 1}|dictsort(true) }} {{ {'b': 2, 'A': 3, 'c': 1}|dictsort(by='value') }} {{ {'b': 2, 'A': 3}|dictsort(reverse=true) }}
{{ 'abc'|list }} {{ data|list }} {{ range(3)|list }} {{ (1, 2)|list }} {{ missing|list }} {{ 5|string }} {{ none|string }} {{ [1]|string ~ 'x' }} {{ 1.50|string }}
{{ '42'|int }} {{ '42.9'|int }} {{ 'x'|int }} {{ 'x'|int(7) }} {{ '0x1f'|int(base=16) }} {{ '1f'|int(0, 16) }} {{ '101'|int(base=2) }} {{ 3.99|int }} {{ -3.99|int }} {{ true|int }} {{ none|int(9) }} {{ ' 12 '|int }} {{ '1_000'|int }} {{ '-5'|int }} {{ '1e3'|int }} {{ []|int(3) }} {{ '3.5'|float }} {{ 'x'|float }} {{ 'x'|float(1.5) }} {{ 3|float }} {{ '1e3'|float }} {{ 'inf'|float }} {{ none|float }} {{ ' 2 '|float }} {{ '+4'|int }} {{ 'a'|int(base=99) }}
{{ numbers|first }} {{ numbers|last }} {{ ''|first }}| {{ []|last }}| {{ 'abc'|first }} {{ 'abc'|last }} {{ (numbers|select('even')|first) }} {{ data|first }} {{ data|last }} {{ missing|first }}|
{{ numbers|sort }} {{ words|sort }} {{ words|sort(case_sensitive=true) }} {{ numbers|sort(reverse=true) }} {{ messages|sort(attribute='role')|map(attribute='role')|list }} {{ messages|sort(attribute='role,content', reverse=true)|map(attribute='content')|list }} {{ 'hello'|sort|join }} {{ [[2, 'b'], [1, 'z'], [2, 'a']]|sort }} {{ [[2, 'b'], [1, 'z'], [2, 'a']]|sort(attribute='1') }} {{ [[2, 'b'], [1, 'z'], [2, 'a']]|sort(attribute=0) }}
{{ numbers|unique|list }} {{ words|unique|list }} {{ words|unique(true)|list }} {{ messages|unique(attribute='role')|map(attribute='content')|list }} {{ [1, 1.0, true, '1']|unique|list }}
{{ numbers|min }} {{ numbers|max }} {{ words|min }} {{ words|max }} {{ []|max }}| {{ messages|max(attribute='content') }} {{ numbers|sum }} {{ [0.1, 0.2]|sum }} {{ [[1], [2]]|sum(start=[]) }} {{ [{'v': 2}, {'v': 3}]|sum(attribute='v') }} {{ numbers|sum(start=100) }}
{{ numbers|reverse|list }} {{ 'abc'|reverse }} {{ uni|reverse }} {{ data|reverse|list }} {{ (numbers|map('string'))|reverse }} {{ -5|abs }} {{ (-5.5)|abs }} {{ true|abs }}
{{ 2.5|round }} {{ 3.5|round }} {{ 2.675|round(2) }} {{ 42.55|round(1, 'floor') }} {{ 42.51|round(1, 'ceil') }} {{ 7|round }} {{ 1234.5|round(-2) }} {{ 0.5|round|int }} {{ 2.1|round(0, 'ceil') }} {{ 7|round(1) }} {{ 1e20|round }} {{ -2.5|round }} {{ 1.005|round(2) }}
{{ 'a\nb\n\nc'|indent }} {{ 'a\nb\n\nc'|indent(2, true) }} {{ 'a\nb\n\nc'|indent(2, blank=true) }} {{ 'a\nb'|indent('>> ') }} {{ ''|indent }}| {{ 'a\n'|indent(first=true) }}| {{ 'x'|indent(width=3, first=true) }}
{{ numbers|batch(2)|list }} {{ numbers|batch(2, 'x')|list }} {{ numbers|slice(3)|list }} {{ numbers|slice(3, 'x')|list }} {{ 'ab'|center(6) }}| {{ 'abc'|center(6) }}| {{ 'one two three four'|truncate(9) }} {{ 'one two three four'|truncate(9, true) }} {{ 'one two three'|truncate(10, leeway=0) }} {{ 'one two three'|truncate(11) }} {{ 'one two three four'|truncate(9, end='#') }} {{ 'two words, three'|wordcount }} {{ data|attr('items') is callable }} {{ data|attr('b') is defined }}
{{ html|e }} {{ html|escape|e }} {{ html|forceescape }} {{ html|safe }} {{ html|safe|e }} {{ ('<b>'|safe) + '<i>' }} {{ '<i>' + ('<b>'|safe) }} {{ ('<b>'|safe) ~ '<i>' }} {{ ('<b>'|e) is escaped }} {{ '<b>' is escaped }} {{ ('<b>'|safe)|upper + '&' }} {{ ('<b>'|safe)|replace('b', '<') }} {{ ('a,<b>'|safe).split(',')[1] + '<' }} {{ ['<']|join('<'|safe) }} {{ ('<b>'|safe)[1:] + '<' }} {{ ('<b>'|safe)|tojson }} {{ ('<b>'|safe) * 2 + '<' }}
{{ '%s and %s'|format('a', 'b') }} {{ '%(k)s'|format(k='v') }} {{ 'plain'|format }}
{% filter upper %}hello {{ x }}{% endfilter %} {% filter replace('a', 'b')|upper %}banana{% endfilter %}
""".strip("\n").split("\n")

METHODS = r"""
{{ blank.strip() }}| {{ blank.lstrip() }}| {{ blank.rstrip() }}| {{ 'xxaxx'.strip('x') }} {{ 'xyaxy'.lstrip('yx') }} {{ 'abcabc'.rstrip('bc') }} {{ '\u00a0\u3000a\x1c'.strip() }}|
{{ 'a b  c'.split() }} {{ ' a b  c '.split(none, 1) }} {{ 'a,b,,c'.split(',') }} {{ 'a,b,,c'.split(',', 1) }} {{ ''.split() }} {{ ''.split(',') }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ' a b c '.rsplit(none, 1) }} {{ 'abc'.split('abc') }} {{ '<t>x</t>y'.split('</t>')[-1] }} {{ 'a--b'.split('-') }} {{ 'aXXbXXc'.rsplit('XX', maxsplit=1) }} {{ 'a b'.split(sep=' ') }}
{{ lines.splitlines() }} {{ lines.splitlines(true) }} {{ ''.splitlines() }} {{ 'a\n'.splitlines() }}
{{ word.startswith('Hello') }} {{ word.endswith('World') }} {{ word.startswith(('x', 'H')) }} {{ word.endswith(()) }} {{ word.startswith('World', 7) }} {{ word.startswith('llo', 2, 5) }} {{ word.endswith('lo', 0, 5) }} {{ ''.startswith('') }} {{ 'a'.startswith('', 5) }}
{{ word.replace('o', '0') }} {{ word.replace('o', '0', 1) }} {{ 'aaa'.replace('aa', 'b') }} {{ word.upper() }} {{ word.lower() }} {{ word.title() }} {{ "they're bill's".title() }} {{ word.capitalize() }} {{ word.swapcase() }} {{ 'ß'.upper() }} {{ 'ß'.capitalize() }} {{ 'ΑΣ'.lower() }} {{ 'ﬁx'.title() }} {{ 'Straße'.casefold() }}
{{ word.find('o') }} {{ word.find('o', 5) }} {{ word.find('z') }} {{ word.rfind('o') }} {{ uni.find('日') }} {{ word.index('W') }} {{ word.count('l') }} {{ 'aaa'.count('aa') }} {{ 'abc'.count('') }} {{ word.count('l', 4) }} {{ word.find('', 3) }} {{ word.find('', 50) }} {{ word.rfind('') }} {{ 'abc'.find('c', -1) }}
{{ '-'.join(words) }} {{ ', '.join(['a']) }} {{ ''.join([]) }}| {{ ' '.join('abc') }} {{ word.partition(', ') }} {{ word.partition('q') }} {{ 'a.b.c'.rpartition('.') }} {{ 'x'.rpartition('.') }} {{ word.removeprefix('Hello') }} {{ word.removesuffix('World') }} {{ word.removeprefix('q') }}
{{ 'ab'.center(6) }}| {{ 'abc'.center(6, '*') }}| {{ 'abc'.center(7, '*') }}| {{ 'abcd'.center(7, '*') }}| {{ 'ab'.ljust(4) }}| {{ 'ab'.rjust(4, '.') }}| {{ '42'.zfill(5) }} {{ '-42'.zfill(5) }} {{ '+1'.zfill(2) }}
{{ '123'.isdigit() }} {{ '²'.isdigit() }} {{ '²'.isdecimal() }} {{ '½'.isnumeric() }} {{ ''.isdigit() }} {{ 'aé'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' \t'.isspace() }} {{ 'Ab Cd'.istitle() }} {{ 'AB'.isupper() }} {{ 'ab1'.islower() }} {{ '1'.islower() }} {{ 'é'.isascii() }} {{ ''.isascii() }} {{ 'a\n'.isprintable() }}
{{ data.copy() }} {{ data.get('a').count(2) }} {{ numbers.count(2) }} {{ numbers.index(10) }} {{ (1, 2, 2).count(2) }} {{ (1, 2).index(2) }} {{ numbers.copy() }}
{% for k in data.keys() %}{{ k }},{% endfor %} {% for v in data.values() %}{{ v }},{% endfor %} {% for k, v in data.items() %}{{ k }}={{ v }};{% endfor %} {{ data.items()|list|length }} {{ 'b' in data.keys() }} {{ data.keys()|list }} {{ data.values()|first }} {{ data.items()|first }}
{{ data.items is callable }} {{ data['items'] }} {{ data.append }}| {{ numbers.append is defined }} {{ word.nope }}| {{ numbers.nope is defined }} {{ data.__class__ }}| {{ word.__len__ is defined }}
""".strip("\n").split("\n")

STATEMENTS = [
    "{% if x %}a{% elif y %}b{% else %}c{% endif %}{% if off %}a{% elif nothing %}b{% else %}c{% endif %}{% if off %}a{% endif %}|",
    "{% for n in numbers %}{{ loop.index }}:{{ loop.index0 }}:{{ loop.revindex }}:{{ loop.revindex0 }}:{{ loop.first }}:{{ loop.last }}:{{ loop.length }}:{{ loop.previtem }}:{{ loop.nextitem }}:{{ n }}\n{% endfor %}",
    "{% for n in [] %}x{% else %}none{% endfor %}{% for n in missing %}x{% else %}none{% endfor %}{% for n in numbers %}{{ n }}{% else %}none{% endfor %}",
    "{% for n in numbers if n is even %}{{ loop.index }}/{{ loop.length }}={{ n }} {% else %}none{% endfor %}{% for n in numbers if n > 99 %}{{ n }}{% else %}none{% endfor %}",
    "{% for n in numbers %}{% if n == 1 %}{% continue %}{% endif %}{% if n == 10 %}{% break %}{% endif %}{{ n }},{% endfor %}",
    "{% for n in numbers %}{% break %}{% else %}ran{% endfor %}|{% for n in numbers %}{% continue %}{% else %}ran{% endfor %}",
    "{% for a, b in [(1, 2), (3, 4)] %}{{ a }}-{{ b }} {% endfor %}{% for (a, (b, c)) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for c in 'aé😀' %}[{{ c }}]{% endfor %}{% for k in data %}{{ k }},{% endfor %}",
    "{% for x in [1, 2] %}{% for y in [3, 4] %}{{ loop.index }}{{ x }}{{ y }} {% endfor %}{{ loop.index }};{% endfor %}{{ x }}",
    "{% for n in numbers recursive %}{{ n }}{% endfor %}{% for n in nested recursive %}{% if n is iterable %}[{{ loop(n) }}:{{ loop.depth }}{{ loop.depth0 }}]{% else %}{{ n }}.{{ loop.depth }}{% endif %}{% endfor %}",
    "{% for n in [1, 1, 2, 2, 1] %}{% if loop.changed(n) %}{{ n }}{% endif %}{{ loop.cycle('a', 'b', 'c') }}{% endfor %}",
    "{% for n in numbers|map('string') %}{{ loop.last }}{{ loop.length }}{{ loop.nextitem }} {% endfor %}{% for n in range(3) %}{{ loop.revindex }}{% endfor %}",
    "{% set a = 1 %}{{ a }}{% set b, c = 2, 3 %}{{ b }}{{ c }}{% set d = 1, 2 %}{{ d }}{% set (e, f) = 'xy' %}{{ e }}{{ f }}",
    "{% set a = 1 %}{% for n in [1, 2] %}{{ a }}{% set a = a + n %}{{ a }} {% endfor %}{{ a }}",
    "{% set a = 1 %}{% if true %}{% set a = 2 %}{% endif %}{{ a }}{% if false %}{% set zz = 2 %}{% endif %}{{ zz }}|",
    "{% set ns = namespace(count=0, found=false) %}{% for n in numbers %}{% set ns.count = ns.count + n %}{% if n == 2 %}{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.count }} {{ ns.found }} {{ ns.missing }}| {{ ns['count'] }} {{ ns.found is defined }} {{ ns is mapping }} {{ ns is iterable }}",
    "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}{% set ns.c = [1] %}{{ ns.c }}{{ ns }}",
    "{% set ns = namespace() %}{% for m in messages %}{% if ns.prev is defined %}{{ ns.prev }}>{% endif %}{% set ns.prev = m.role %}{% endfor %}{{ ns.prev }}",
    "{% set ns = namespace(keep=true) %}{% for n in numbers if ns.keep %}{{ n }},{% if n == 2 %}{% set ns.keep = false %}{% endif %}{% endfor %}",
    "{% set block %}a{{ x }}b{% endset %}{{ block|upper }}{% set block | upper | replace('A', 'z') %}aa{% endset %}{{ block }}{{ block is string }}",
    "{% set v %}{% set inner = 5 %}{{ inner }}{% endset %}{{ v }}{{ inner }}|",
    "{% macro m(a, b=2, c='x' ~ a) %}{{ a }}{{ b }}{{ c }};{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=5, a=6) }}{{ m(1, c=9) }}{{ m() }}{{ m.name }}{{ m.arguments }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, k=3) }}{% macro n(a) %}{{ a }}{{ varargs }}{% endmacro %}{{ n(1, 2, 3) }}",
    "{% macro m(x) %}<{{ caller() }}{{ x }}>{% endmacro %}{% call m('q') %}body {{ x }}{% endcall %}{% macro l(items) %}{% for i in items %}{{ caller(i, i * 2) }},{% endfor %}{% endmacro %}{% call(a, b) l([1, 2]) %}{{ a }}+{{ b }}{% endcall %}",
    "{% macro m() %}{{ 'yes' if caller is defined else 'no' }}{% endmacro %}{{ m() }}{% call m() %}{% endcall %}",
    "{% macro fact(n) %}{% if n > 1 %}{{ n }}*{{ fact(n - 1) }}{% else %}1{% endif %}{% endmacro %}{{ fact(5) }}",
    "{% macro m() %}{{ later }}{% endmacro %}{% set later = 'L' %}{{ m() }}{% set later = 'M' %}{{ m() }}",
    "{% macro a() %}{% set x = 'inner' %}{{ x }}{% endmacro %}{{ x }}{{ a() }}{{ x }}",
    "{% macro a(x) %}{{ x }}{% endmacro %}{% for x in [1, 2] %}{{ a(x) }}{{ a('k') }}{% endfor %}",
    "{% macro m(x) %}{% if x is none %}n{% elif x is mapping %}{ {%- for k, v in x|items %}{{ k }}:{{ m(v) }}{% if not loop.last %},{% endif %}{% endfor -%} }{% elif x is string %}\"{{ x }}\"{% elif x is iterable %}[{% for v in x %}{{ m(v) }}{{ ',' if not loop.last }}{% endfor %}]{% else %}{{ x }}{% endif %}{% endmacro %}{{ m(data) }}{{ m(nested) }}",
    "{% with a = 1, b = x %}{{ a }}{{ b }}{% endwith %}{{ a }}|{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}|{% with a = 5 %}{% with a = 6, b = a %}{{ a }}{{ b }}{% endwith %}{% endwith %}",
    "{% raw %}{{ not }} {% parsed %} {# here #}{% endraw %}{{ x }}{%- raw -%}  a  {%- endraw -%}  b",
    "{% raw %}\n  x\n  {% endraw %}\ny",
    "a{# comment #}b\n{# line #}\nc\n  {#- strip -#}  \nd{# multi\nline #}e {#+ x +#}\nf",
    "  {% if true %}\n    indented\n  {% endif %}\n  text {% if true %} inline {% endif %}\n\tend\n",
    "a\n  {%- if true -%}  \n  b  \n {%- endif %}\n c\n  {%+ if true +%}\nd{% endif +%}\n e",
    "{{ 'a' }}\n{{ 'b' -}}\n {{- 'c' }}  \n  {{ 'd' }}\n{%- set q = 1 %}\n{{ q }}",
    "x\r\ny\rz\n{% if true %}\r\nw{% endif %}\n\n",
    "line\n\n",
    "{% if true %}\n\n\nthree\n{% endif %}\n\n{% for i in [1, 2] %}\n  {{ i }}\n{% endfor %}\ndone\n",
    "{%if x%}tight{%endif%}{{x}}{{ {'a':{'b':1}}.a.b }}{{'}}'}}{{ '%}' }}{% set s = '{{ }}' %}{{ s }}",
    "{% generation %}gen {{ x }}{% endgeneration %}{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% endif %}{% endfor %}",
    "{% generation %}{% set inside = 1 %}{{ inside }}{% endgeneration %}{{ inside }}|",
    "{% block b %}block {{ x }}{% endblock %}{% block c scoped %}{% endblock c %}",
    "{% print x, y %}{% print 'a' ~ 'b' %}",
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 1) %}odd{% endif %}{{ '<|' + m['role'] + '|>' + m['content'] | trim }}{% endfor %}",
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% endif %}{{ system }}{{ loop_messages|length }}",
    "{% set ms = messages | selectattr('role', 'equalto', 'user') %}{% for m in ms %}{{ m.content }}{% endfor %}{% for m in ms %}again{% endfor %}|{{ 'true' if ms }}",
    "{% for m in messages[::-1] %}{{ loop.index0 }}{{ m.role }},{% endfor %}{% set last = messages|last %}{{ last.content }}{{ (messages|first).role }}",
    "{% if true: %}colon{% endif %}{% for i in [1]: %}{{ i }}{% endfor %}",
    "{% set a = [] %}{% for n in numbers %}{% set a = a + [n] %}{% endfor %}{{ a }}{% set d = dict(a=1) %}{{ d.a }}{% set t = (1, 2) + (3,) %}{{ t }}",
    "{% for i in range(3) %}{% set outer = loop %}{% for j in range(2) %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}",
    "{%- for m in messages -%}\n  {{- m.role }}:\n  {%- if not loop.last %} , {% endif -%}\n{%- endfor -%}\n  end",
    "{% set x = 5 %}{% macro show() %}{{ x }}{% endmacro %}{% for i in [1] %}{% set x = 6 %}{{ x }}{{ show() }}{% endfor %}",
    "{% filter indent(2) %}a\nb{% set z = 1 %}{% endfilter %}{{ z }}|",
    "{{ (lambda) }}|{{ x if x is defined and x is not none }}",
    "{% set message = messages[2] %}{{ message.get('name', 'x') }}{{ message['name'] is defined }}{{ 'tool_calls' in message }}{{ message.tool_calls is defined and message.tool_calls }}",
]

# Each fails, with jinja2 and with us.
ERRORS = [
    "{{ raise_exception('Roles must alternate') }}", "{{ missing.attribute }}", "{{ missing['x'] }}", "{{ missing() }}", "{{ missing + 1 }}",
    "{{ 'a' + 1 }}", "{{ 1 + 'a' }}", "{{ 'a' + missing }}", "{{ [] + () }}", "{{ none + none }}", "{{ 1 / 0 }}", "{{ 1 // 0 }}", "{{ 1 % 0 }}", "{{ -'a' }}",
    "{{ 1 < 'a' }}", "{{ none < 1 }}", "{{ {} < {} }}", "{{ 1 in 5 }}", "{{ 1 in 'a' }}", "{{ missing < 1 }}", "{{ {[]: 1} }}", "{{ [1] in {} }}",
    "{% for x in 5 %}{% endfor %}", "{% for x in none %}{% endfor %}", "{% for a, b in [1] %}{% endfor %}", "{% for a, b in [(1, 2, 3)] %}{% endfor %}", "{% set a, b = 1, 2, 3 %}",
    "{{ 5|length }}", "{{ none|length }}", "{{ 5|list }}", "{{ none|join }}", "{{ 5|first }}", "{{ words|map('upper')|length }}", "{{ words|map('upper')|last }}", "{{ words|map('nope')|list }}", "{{ words|map|list }}", "{{ words|select('nope')|list }}",
    "{{ missing|tojson }}", "{{ range(3)|tojson }}", "{{ {(1, 2): 3}|tojson }}", "{{ data.items()|tojson }}", "{{ [1, 'a']|sort }}", "{{ [1, 'a']|max }}", "{{ ['a']|sum }}", "{{ data.items|items|list }}", "{{ 5|items|list }}", "{{ 1 ~ 2 + 3 }}", "{{ 5|dictsort }}", "{{ 1|round(method='x') }}",
    "{{ numbers.append(1) }}", "{{ data.update({}) }}", "{{ data.pop('a') }}", "{{ numbers.sort() }}", "{{ data.b() }}", "{{ 5() }}", "{{ word.upper(1) }}", "{{ word.replace('a') }}", "{{ word.split('') }}", "{{ word.index('zz') }}", "{{ numbers.index(99) }}", "{{ word.startswith(1) }}", "{{ ','.join([1]) }}", "{{ word.nope() }}", "{{ word.__class__() }}",
    "{{ range(1000000) }}", "{{ range(1, 2, 0) }}", "{{ numbers[::0] }}", "{% set x.y = 1 %}", "{% set ns = namespace() %}{% set ns._x = 1 %}", "{{ namespace(_x=1) }}", "{% set missing.y = 1 %}", "{% set loop = 1 %}{% for i in [1] %}{{ loop.x.y }}{% endfor %}",
    "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{% endmacro %}{{ m(b=1) }}", "{% macro m(a) %}{{ a.b }}{% endmacro %}{{ m() }}", "{% macro m() %}{% endmacro %}{% call m() %}{% endcall %}",
    "{{ '%s %s' % 'a' }}", "{{ '%d' % 'a' }}", "{{ '%s' % (1, 2) }}", "{{ '%q' % 1 }}", "{{ '%(a)s' % {} }}", "{{ '{} {}'.format(1) }}", "{{ '{'.format() }}", "{{ '}'.format() }}", "{{ '{a}'.format() }}", "{{ '{:d}'.format('a') }}", "{{ '{:q}'.format(1) }}",
    "{{ x", "{{ x }", "{% if x %}", "{% if x", "{% endif %}", "{% else %}", "{% for x in y %}", "{% for x %}{% endfor %}", "{{ }}", "{{ 1 + }}", "{{ (1 }}", "{{ 1) }}", "{{ [1) }}", "{{ 'abc }}", "{# never closed", "{% raw %}x", "{% nope %}", "{% do x %}", "{{ a b }}", "{{ 1 ! 2 }}", "{{ a.? }}", "{{ x is }}", "{{ x| }}", "{{ x|nope }}", "{{ x is nope }}", "{% set %}", "{% set 1 = 2 %}", "{% set a %}", "{% macro %}{% endmacro %}", "{% break %}", "{% continue %}", "{% macro m(a=1, b) %}{% endmacro %}", "{{ f(a=1, 2) }}", "{% call x %}{% endcall %}", "{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}", "{{ x.1.2.y }}", "{{ '\\x4' }}", "{{ {1, 2} }}", "{{ a if b else }}", "{{ x is odd is even }}", "{% set none = 1 %}", "{% for true in [1] %}{% endfor %}", "{{ [1:2] }}", "{% if x %}{% endfor %}", "{% generation %}", "{% block a %}",
]
