/* The compiled form of what querybudget does with every character of a text.

Each function returns what the Python function returns that its comment names, to the bit; tests
hold both forms to each other. A function that cannot take a text returns None, and the Python form
takes it. All work is linear in the text, but for the longest piece of the vocabulary, a constant.

Only the stable ABI is used, so that one build serves Python 3.11 and later. Build it without
contraction of floating-point operations (-ffp-contract=off): the results must not depend on it. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define PLANE 0x10000
#define NONE (-1)

/* Bits of a character's class, as signs.py sets them. */
enum { WORD = 1, UNSPACED = 2, LETTER = 4, GAP = 8, SKIPPED = 16 };

/* Flags of a character's folded form, as signs.py sets them, above the character. */
#define SPECIAL 0x80000000u  /* what it becomes depends on its neighbours */
#define DROPPED 0x40000000u
#define EXPANDS 0x20000000u  /* the low bits are 16 times the place, plus the size, of what it becomes */
#define STARTS_LOW 0x10000000u /* begins with a mark that may be sorted before another */
#define ENDS_LOW 0x08000000u   /* ends with such a mark */
#define MARK 0x04000000u
#define CODE 0x001FFFFFu
enum { MOST_MARKS = 30, LONGER = 64 };

typedef struct {
    Py_UCS4 *at;
    Py_ssize_t size;
} Text;

static int take(PyObject *object, Text *text)
{
    if (!PyUnicode_Check(object)) {
        PyErr_SetString(PyExc_TypeError, "expected a text");
        return 0;
    }
    text->size = PyUnicode_GetLength(object);
    text->at = PyUnicode_AsUCS4Copy(object);
    return text->at != NULL;
}

/* -- A vocabulary ------------------------------------------------------------------------------ */

typedef struct {
    PyObject_HEAD
    Py_UCS4 *words;     /* all of them in a row */
    uint32_t *starts;   /* where each begins, and the end of the last */
    uint32_t *slots;    /* by hash: 8 more bits of the hash, and the number of a word from 1 on */
    uint8_t *longest;   /* letters of the longest word, by the hash of the first three */
    uint32_t mask;
    PyObject *classes, *folds, *expansions;  /* bytes */
} Lexicon;

enum { BASIS = 0x811C9DC5u, PRIME = 0x01000193u, STARTS = 1 << 17, START = 3, LONGEST = 255 };
enum { TAG = 0xFF000000u, NUMBER = 0x00FFFFFFu };

static uint32_t step(uint32_t hash, Py_UCS4 sign) { return (hash ^ sign) * PRIME; }

static uint32_t mixed(uint32_t hash)
{
    hash ^= hash >> 16;
    hash *= 0x7FEB352Du;
    hash ^= hash >> 15;
    hash *= 0x846CA68Bu;
    return hash ^ hash >> 16;
}

static uint32_t hash_of(const Py_UCS4 *word, Py_ssize_t size, uint32_t hash)
{
    for (Py_ssize_t n = 0; n < size; n++)
        hash = step(hash, word[n]);
    return hash;
}

/* Return the slot of a word, or the free one where it belongs. `before` stands before the word. */
static uint32_t slot_of(const Lexicon *self, const Py_UCS4 *before, Py_ssize_t ahead,
                        const Py_UCS4 *word, Py_ssize_t size, uint32_t hash)
{
    uint32_t place = mixed(hash), tag = place * 0x9E3779B1u & TAG;
    for (place &= self->mask; self->slots[place]; place = (place + 1) & self->mask) {
        uint32_t slot = self->slots[place];
        if ((slot & TAG) != tag)
            continue;
        uint32_t number = (slot & NUMBER) - 1, start = self->starts[number];
        if (self->starts[number + 1] - start == (uint64_t)(ahead + size) &&
            !memcmp(self->words + start, before, ahead * sizeof *word) &&
            !memcmp(self->words + start + ahead, word, size * sizeof *word))
            break;
    }
    return place;
}

static int32_t row_of(const Lexicon *self, const Py_UCS4 *word, Py_ssize_t size)
{
    if (!size)
        return NONE;
    uint32_t slot = self->slots[slot_of(self, word, 0, word, size, hash_of(word, size, BASIS))];
    return (int32_t)(slot & NUMBER) - 1;
}

static const Py_UCS4 CONTINUATION[] = {'#', '#'};

/* Return the row of the longest piece at the start of some letters, and its size. */
static int32_t longest_piece(const Lexicon *self, const Py_UCS4 *word, Py_ssize_t size, int inside,
                             Py_ssize_t *found)
{
    uint32_t hashes[LONGEST + 1];
    Py_ssize_t ahead = inside ? 2 : 0, most = size < START ? size : START;
    hashes[0] = hash_of(CONTINUATION, ahead, BASIS);
    for (Py_ssize_t n = 0; n < most; n++)
        hashes[n + 1] = step(hashes[n], word[n]);
    if (most == START) {
        Py_ssize_t longest = self->longest[mixed(hashes[START]) % STARTS];
        if (longest > size)
            longest = size;
        for (; most < longest; most++)
            hashes[most + 1] = step(hashes[most], word[most]);
    }
    for (; most > 0; most--) {
        uint32_t slot = self->slots[slot_of(self, CONTINUATION, ahead, word, most, hashes[most])];
        if (slot) {
            *found = most;
            return (int32_t)(slot & NUMBER) - 1;
        }
    }
    return NONE;
}

static void add_word(Lexicon *self, uint32_t number)
{
    const Py_UCS4 *word = self->words + self->starts[number];
    Py_ssize_t size = self->starts[number + 1] - self->starts[number];
    uint32_t hash = hash_of(word, size, BASIS);
    self->slots[slot_of(self, word, 0, word, size, hash)] =
        (mixed(hash) * 0x9E3779B1u & TAG) | (number + 1);
    /* A piece that stands inside words is also found without its prefix. */
    for (int inside = 0; inside < 2; inside++) {
        Py_ssize_t ahead = inside ? 2 : 0;
        if (size - ahead < START || (inside && memcmp(word, CONTINUATION, sizeof CONTINUATION)))
            continue;
        uint8_t *longest = self->longest + mixed(hash_of(word, ahead + START, BASIS)) % STARTS;
        Py_ssize_t letters = size - ahead < LONGEST ? size - ahead : LONGEST;
        if (letters > *longest)
            *longest = (uint8_t)letters;
    }
}

static void lexicon_free(PyObject *object)
{
    Lexicon *self = (Lexicon *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyMem_Free(self->words);
    PyMem_Free(self->starts);
    PyMem_Free(self->slots);
    PyMem_Free(self->longest);
    Py_XDECREF(self->classes);
    Py_XDECREF(self->folds);
    Py_XDECREF(self->expansions);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static int fill(Lexicon *self, PyObject *words)
{
    Py_ssize_t count = PyList_Size(words), total = 0;
    for (Py_ssize_t n = 0; n < count; n++) {
        Py_ssize_t size = PyUnicode_GetLength(PyList_GetItem(words, n));
        if (size < 0)
            return 0;
        total += size;
    }
    if (count >= (Py_ssize_t)NUMBER || total > (1 << 30)) {
        PyErr_SetString(PyExc_ValueError, "expected a smaller vocabulary");
        return 0;
    }
    for (self->mask = 1; self->mask < 2 * (uint64_t)count; self->mask = self->mask * 2 + 1) {}
    self->words = PyMem_Calloc(total + 1, sizeof *self->words);
    self->starts = PyMem_Calloc(count + 1, sizeof *self->starts);
    self->slots = PyMem_Calloc((size_t)self->mask + 1, sizeof *self->slots);
    self->longest = PyMem_Calloc(STARTS, 1);
    if (!self->words || !self->starts || !self->slots || !self->longest) {
        PyErr_NoMemory();
        return 0;
    }
    Py_ssize_t at = 0;
    for (Py_ssize_t n = 0; n < count; n++) {
        PyObject *word = PyList_GetItem(words, n);
        Py_ssize_t size = PyUnicode_GetLength(word);
        if (size < 0 || at + size > total ||
            !PyUnicode_AsUCS4(word, self->words + at, total + 1 - at, 0)) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_ValueError, "the vocabulary changed");
            return 0;
        }
        self->starts[n] = (uint32_t)at;
        self->starts[n + 1] = (uint32_t)(at += size);
        add_word(self, (uint32_t)n);
    }
    return 1;
}

/* Return whether what each character becomes is inside the table of expansions. */
static int are_folds(PyObject *folds, PyObject *expansions)
{
    if (PyBytes_Size(folds) != 4 * PLANE)
        return 0;
    const uint32_t *table = (const uint32_t *)(const void *)PyBytes_AsString(folds);
    for (Py_UCS4 sign = 0; sign < PLANE; sign++) {
        uint32_t form = table[sign] & CODE;
        if (table[sign] & EXPANDS && (form >> 4) + (form & 15) > PyBytes_Size(expansions) / 4)
            return 0;
    }
    return 1;
}

static PyObject *lexicon_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(names))
{
    PyObject *words, *classes, *folds, *expansions;
    if (!PyArg_ParseTuple(arguments, "OSSS", &words, &classes, &folds, &expansions))
        return NULL;
    if (!PyList_Check(words) || PyBytes_Size(classes) != PLANE || !are_folds(folds, expansions)) {
        PyErr_SetString(PyExc_TypeError, "expected words, classes and folded forms");
        return NULL;
    }
    Lexicon *self = (Lexicon *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!self)
        return NULL;
    Py_INCREF(classes), Py_INCREF(folds), Py_INCREF(expansions);
    self->classes = classes, self->folds = folds, self->expansions = expansions;
    if (!fill(self, words)) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

/* -- Characters -------------------------------------------------------------------------------- */

static int is_unspaced(Py_UCS4 sign)
{
    return (sign >= 0x1F000 && sign <= 0x1FAFF) || (sign >= 0x20000 && sign <= 0x3FFFF);
}

static unsigned class_of(const uint8_t *classes, Py_UCS4 sign)
{
    return sign < PLANE ? classes[sign] : is_unspaced(sign) ? UNSPACED : WORD;
}

/* Fold a text in place as `normalise` does; return 0 where that needs the Python form. */
static int fold(const Lexicon *self, Text *text)
{
    const uint32_t *folds = (const uint32_t *)(const void *)PyBytes_AsString(self->folds);
    const Py_UCS4 *expansions = (const Py_UCS4 *)(const void *)PyBytes_AsString(self->expansions);
    Py_ssize_t size = 0, most = text->size + LONGER;
    uint32_t before = 0;
    int marks = 0;
    Py_UCS4 *into = PyMem_Malloc((most + 16) * sizeof *into);
    if (!into)
        return 0;
    for (Py_ssize_t n = 0; n < text->size; n++) {
        Py_UCS4 sign = text->at[n];
        uint32_t folded = sign;
        if (sign < PLANE)
            folded = folds[sign];
        else if (sign < 0x1F300 || !is_unspaced(sign) || (sign >= 0x2F800 && sign < 0x30000))
            folded = SPECIAL;
        marks = folded & MARK ? marks + 1 : 0;
        if (folded & SPECIAL || marks > MOST_MARKS || size > most)
            goto special;
        if (folded & DROPPED)
            continue;
        if (before & ENDS_LOW && folded & STARTS_LOW)
            goto special;
        before = folded;
        if (folded & EXPANDS) {
            const Py_UCS4 *part = expansions + ((folded & CODE) >> 4);
            for (unsigned left = folded & 15; left; left--)
                into[size++] = *part++;
        } else
            into[size++] = folded & CODE;
    }
    if (size > most)
        goto special;
    PyMem_Free(text->at);
    text->at = into, text->size = size;
    return 1;
special:
    PyMem_Free(into);
    return 0;
}

/* -- Words of a vocabulary --------------------------------------------------------------------- */

typedef struct {
    const int8_t *rows;
    const float *scales;
    float *into;
    Py_ssize_t count, dimensions;
} Sum;

static int add_row(Sum *sum, int32_t row)
{
    if (row >= sum->count)
        return 0;
    const int8_t *from = sum->rows + (Py_ssize_t)row * sum->dimensions;
    float scale = sum->scales[row];
    for (Py_ssize_t n = 0; n < sum->dimensions; n++)
        sum->into[n] += scale * (float)from[n];
    return 1;
}

/* Add each row of a folded text, in the order of WordPiece.rows. */
static int add_rows(const Lexicon *self, Text text, Sum *sum)
{
    enum { MOST_LETTERS = 100 };
    const uint8_t *classes = (const uint8_t *)PyBytes_AsString(self->classes);
    int32_t rows[MOST_LETTERS];
    for (Py_ssize_t start = 0, end; start < text.size; start = end) {
        unsigned kind = class_of(classes, text.at[start]) & (WORD | UNSPACED);
        for (end = start + 1; end < text.size; end++)
            if ((class_of(classes, text.at[end]) & (WORD | UNSPACED)) != kind)
                break;
        if (!kind || (kind != UNSPACED && end - start > MOST_LETTERS))
            continue;
        Py_ssize_t count = 0, size;
        for (Py_ssize_t at = start; at < end; at += size) {
            int inside = kind == WORD && at > start;
            int32_t row = longest_piece(self, text.at + at, end - at, inside, &size);
            if (kind == UNSPACED) {
                if (row == NONE)
                    size = 1;
                else if (!add_row(sum, row))
                    return 0;
            } else if (row == NONE) {
                count = 0;
                break;
            } else
                rows[count++] = row;
        }
        for (Py_ssize_t n = 0; n < count; n++)
            if (!add_row(sum, rows[n]))
                return 0;
    }
    return 1;
}

/* Read the arguments (text, folded, ...): return 1, 0 with an error, or -1 to return None. */
static int folded_text(const Lexicon *self, PyObject *object, int folded, Text *text)
{
    if (!take(object, text))
        return 0;
    if (folded || fold(self, text))
        return 1;
    PyMem_Free(text->at);
    return -1;
}

static void to_unit_length(float *vector, Py_ssize_t size)
{
    double squares = 0;
    for (Py_ssize_t n = 0; n < size; n++)
        squares += (double)vector[n] * vector[n];
    double length = sqrt(squares);
    if (length > 0)
        for (Py_ssize_t n = 0; n < size; n++)
            vector[n] = (float)(vector[n] / length);
}

/* StaticEmbedder._vector: into zeros; True unless it needs the Python form */
static PyObject *lexicon_vector(PyObject *self, PyObject *arguments)
{
    PyObject *object, *result = NULL;
    int folded;
    Text text;
    Py_buffer rows, scales, into;
    if (!PyArg_ParseTuple(arguments, "Opy*y*w*", &object, &folded, &rows, &scales, &into))
        return NULL;
    Sum sum = {rows.buf, scales.buf, into.buf, scales.len / 4, into.len / 4};
    if (rows.len != sum.count * sum.dimensions) {
        PyErr_SetString(PyExc_ValueError, "expected as many rows as scales");
        goto done;
    }
    int taken = folded_text((Lexicon *)self, object, folded, &text);
    if (taken > 0) {
        if (add_rows((Lexicon *)self, text, &sum)) {
            to_unit_length(sum.into, sum.dimensions);
            result = Py_NewRef(Py_True);
        } else
            PyErr_SetString(PyExc_ValueError, "expected a row for each word");
        PyMem_Free(text.at);
    } else if (taken)
        result = Py_NewRef(Py_None);
done:
    PyBuffer_Release(&rows);
    PyBuffer_Release(&scales);
    PyBuffer_Release(&into);
    return result;
}

enum { LONG = 4, STRETCH = 4 };  /* letters of a longer word, and such words that are a stretch */

/* Reader.share */
static PyObject *lexicon_share(PyObject *object, PyObject *arguments)
{
    Lexicon *self = (Lexicon *)object;
    const uint8_t *classes = (const uint8_t *)PyBytes_AsString(self->classes);
    PyObject *of;
    int folded;
    Text text;
    if (!PyArg_ParseTuple(arguments, "Op", &of, &folded))
        return NULL;
    int taken = folded_text(self, of, folded, &text);
    if (taken <= 0)
        return taken ? Py_NewRef(Py_None) : NULL;
    Py_ssize_t total = 0, known = 0, start = 0;
    for (Py_ssize_t n = 0; n <= text.size; n++) {
        Py_UCS4 sign = n < text.size ? text.at[n] : 0;
        if (sign >= PLANE && !is_unspaced(sign)) {
            PyMem_Free(text.at);
            return Py_NewRef(Py_None);
        }
        if (sign < PLANE && classes[sign] & LETTER)
            continue;
        if (n - start >= LONG) {
            total += n - start;
            if (row_of(self, text.at + start, n - start) != NONE)
                known += n - start;
        }
        start = n + 1;
    }
    PyMem_Free(text.at);
    return PyFloat_FromDouble(total ? (double)known / (double)total : 0.0);
}

/* The words of a text in lower case, between gaps, without the signs that are no part of them. */
typedef struct {
    const uint8_t *classes;
    Text text;
    Py_ssize_t at, size;  /* what is read, and letters of the word; words are moved to the start */
} Words;

static int take_words(const Lexicon *lexicon, PyObject *of, Words *words)
{
    words->classes = (const uint8_t *)PyBytes_AsString(lexicon->classes);
    words->at = 0;
    return take(of, &words->text);
}

/* Read the next word into the start of the text, and return whether there is one. */
static int next_word(Words *words)
{
    Py_UCS4 *into = words->text.at;
    Py_ssize_t letters = 0;
    while (words->at < words->text.size) {
        Py_UCS4 sign = words->text.at[words->at++];
        unsigned kind = sign < PLANE ? words->classes[sign] : 0;
        if (kind & SKIPPED)
            continue;
        if (!(kind & GAP))
            into[letters++] = sign;
        else if (letters)
            break;
    }
    words->size = letters;
    return letters > 0;
}

/* What is_plain and is_readable ask of the words of a text. */
typedef struct {
    Py_ssize_t words, longer, known, alone, brief, unread;
} Reading;

/* Count a word that is known or not; return whether the text may still be plain. */
static int count_word(Reading *reading, Py_ssize_t size, int is_known)
{
    enum { ALONE = 5, SHORT_WORDS = 12, LONGEST_WORD = 24 };
    reading->words++;
    reading->alone = size == 1 ? reading->alone + 1 : 0;
    reading->brief = size < LONG ? reading->brief + 1 : 0;
    if (size >= LONG) {
        reading->longer++;
        reading->known += is_known;
        if (reading->unread < STRETCH)
            reading->unread = is_known ? 0 : reading->unread + 1;
    }
    return size <= LONGEST_WORD && reading->alone < ALONE && reading->brief < SHORT_WORDS;
}

static int is_read(const Reading *reading, Py_ssize_t size, int strict)
{
    enum { SCARCE = 8, FEW = 24 };
    if (SCARCE * reading->longer <= reading->words)
        return strict && size < FEW;
    return (double)reading->known >= 0.6 * (double)reading->longer && reading->unread < STRETCH;
}

/* Reader.is_plain (strict), but for what it looks at first, and Reader.is_readable; of lower case */
static PyObject *lexicon_reads(PyObject *object, PyObject *arguments)
{
    Lexicon *self = (Lexicon *)object;
    PyObject *of;
    int strict, plain = 1;
    Words words;
    Reading reading = {0};
    if (!PyArg_ParseTuple(arguments, "Op", &of, &strict) || !take_words(self, of, &words))
        return NULL;
    while (plain && next_word(&words)) {
        int is_known = words.size >= LONG && row_of(self, words.text.at, words.size) != NONE;
        plain = count_word(&reading, words.size, is_known) || !strict;
    }
    plain = plain && is_read(&reading, words.text.size, strict);
    PyMem_Free(words.text.at);
    return PyBool_FromLong(plain);
}

enum { SHORTEST = 3, MOST = 24 };  /* letters of a word that may be misspelt */

/* Return a word of ASCII's letters and digits, or None if it is another, or a number. */
static PyObject *latin(const Py_UCS4 *word, Py_ssize_t size)
{
    char copy[MOST];
    int letters = 0;
    if (size < SHORTEST || size > MOST)
        return Py_NewRef(Py_None);
    for (Py_ssize_t n = 0; n < size; n++) {
        if (word[n] >= 'a' && word[n] <= 'z')
            letters = 1;
        else if (word[n] < '0' || word[n] > '9')
            return Py_NewRef(Py_None);
        copy[n] = (char)word[n];
    }
    return letters ? PyUnicode_FromStringAndSize(copy, size) : Py_NewRef(Py_None);
}

/* Append a word that is not known, if it may be misspelt; return 0 with an error. */
static int append_unknown(PyObject *found, const Words *words)
{
    PyObject *word = latin(words->text.at, words->size);
    int done = word && (word == Py_None || !PyList_Append(found, word));
    Py_XDECREF(word);
    return done;
}

/* Reader.unknown, of lower case, with those again that stand there twice. If `strict`, that of a
   text which Reader.is_plain finds plain, but for what it looks at first, or else None. */
static PyObject *unknown_words(Lexicon *self, PyObject *of, int strict)
{
    Words words;
    Reading reading = {0};
    if (!take_words(self, of, &words))
        return NULL;
    PyObject *found = PyList_New(0);
    int plain = 1;
    while (found && plain && next_word(&words)) {
        int is_known = words.size >= SHORTEST && row_of(self, words.text.at, words.size) != NONE;
        if (strict)
            plain = count_word(&reading, words.size, is_known);
        if (!is_known && !append_unknown(found, &words))
            Py_CLEAR(found);
    }
    if (found && strict && !(plain && is_read(&reading, words.text.size, 1))) {
        Py_DECREF(found);
        found = Py_NewRef(Py_None);
    }
    PyMem_Free(words.text.at);
    return found;
}

static PyObject *lexicon_unknown(PyObject *object, PyObject *of)
{
    return unknown_words((Lexicon *)object, of, 0);
}

static PyObject *lexicon_unknown_if_plain(PyObject *object, PyObject *of)
{
    return unknown_words((Lexicon *)object, of, 1);
}

/* -- Borders ----------------------------------------------------------------------------------- */

enum { BORDERS_AROUND = 192, SPLIT = 384, MINIMUM = 120, MAXIMUM = 1000, OF_WORD = 2, CLASS_SHIFT = 29 };

static uint8_t kind_of(const uint8_t *kinds, Py_UCS4 sign) { return kinds[sign < PLANE ? sign : PLANE - 1]; }

/* Cutter._ranks */
static void rank(uint32_t *ranks, uint32_t *hashes, Text text, const uint8_t *kinds, const uint32_t key[3])
{
    Py_ssize_t size = text.size;
    uint32_t factor = key[1];
    for (Py_ssize_t n = 0; n < size; n++) {
        hashes[n] = (uint32_t)text.at[n] * key[0];
        hashes[n] ^= hashes[n] >> 15;
    }
    for (int wide = 1; wide <= 4; wide *= 2, factor *= factor)
        for (Py_ssize_t n = size - 1; n >= wide; n--)
            hashes[n] += hashes[n - wide] * factor;
    ranks[0] = 0;
    for (Py_ssize_t n = 0, last = 0; n + 1 < size; n++) {
        uint32_t hash = hashes[n] ^ hashes[n] >> 16;
        uint8_t kind = kind_of(kinds, text.at[n]);
        uint32_t class = (kind & 7) + (kind == OF_WORD && last & 8);
        ranks[n + 1] = (hash * key[2]) >> (32 - CLASS_SHIFT) | class << CLASS_SHIFT;
        last = kind;
    }
}

/* Return the first border from a place on (_borders): a rank that is higher than those before it and
   no lower than those after. What a rank is no lower than, behind it, is no border. */
static Py_ssize_t next_border(const uint32_t *ranks, Py_ssize_t size, Py_ssize_t from)
{
    for (Py_ssize_t n = from, after; n < size; n = after) {
        Py_ssize_t end = size - n > BORDERS_AROUND ? n + BORDERS_AROUND + 1 : size, before = n;
        for (after = n + 1; after < end && ranks[after] <= ranks[n];)
            after++;
        if (after < end)
            continue;
        while (before > 0 && n - before < BORDERS_AROUND && ranks[before - 1] < ranks[n])
            before--;
        if (ranks[n] && (!before || n - before == BORDERS_AROUND))
            return n;
    }
    return size;
}

static int append(PyObject *list, Py_ssize_t value)
{
    PyObject *number = PyLong_FromSsize_t(value);
    int failed = !number || PyList_Append(list, number);
    Py_XDECREF(number);
    return !failed;
}

/* Where chunks end (Cutter.cut) */
static int append_ends(PyObject *ends, const uint32_t *ranks, Py_ssize_t size)
{
    for (Py_ssize_t start = 0, from = 0; start < size;) {
        Py_ssize_t border = next_border(ranks, size, from);
        from = border + BORDERS_AROUND + 1;
        if (size - border < MINIMUM)
            border = size;
        while (border - start > MAXIMUM) {
            Py_ssize_t best = start + SPLIT;
            for (Py_ssize_t at = best; at < start + 2 * SPLIT; at++)
                if (ranks[at] > ranks[best])
                    best = at;
            if (!append(ends, start = best))
                return 0;
        }
        if ((border - start >= MINIMUM || border == size) && !append(ends, start = border))
            return 0;
    }
    return 1;
}

static PyObject *kernel_ends(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *of, *ends = NULL;
    Py_buffer kinds;
    unsigned key[3];
    Text text;
    if (!PyArg_ParseTuple(arguments, "Oy*III", &of, &kinds, key, key + 1, key + 2))
        return NULL;
    if (kinds.len != PLANE)
        PyErr_SetString(PyExc_ValueError, "expected a kind for each character");
    else if (take(of, &text)) {
        size_t size = (size_t)text.size;
        const uint32_t of_key[3] = {key[0], key[1], key[2]};
        uint32_t *ranks = PyMem_Calloc(2 * (size + 1), sizeof *ranks);  /* and the hashes behind them */
        if (!ranks)
            PyErr_NoMemory();
        else if ((ends = PyList_New(0)) && size) {
            rank(ranks, ranks + size + 1, text, kinds.buf, of_key);
            if (!append_ends(ends, ranks, text.size))
                Py_CLEAR(ends);
        }
        PyMem_Free(ranks);
        PyMem_Free(text.at);
    }
    PyBuffer_Release(&kinds);
    return ends;
}

/* -- Repeats ----------------------------------------------------------------------------------- */

enum { WINDOW = 16, DENSE_WINDOW = 6, HASH_BITS = 15, MOST_READ = 2000, RUN = 3, IN_RUNS = 1 };

static int append_span(PyObject *spans, Py_ssize_t start, Py_ssize_t end)
{
    PyObject *span = Py_BuildValue("nn", start, end);
    int failed = !span || PyList_Append(spans, span);
    Py_XDECREF(span);
    return !failed;
}

/* Repeats._met_words: (stretches that were sent before, words, whether the script is dense) */
static PyObject *kernel_met(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *of, *spans = NULL, *result = NULL;
    Py_buffer tables[4], recent, old;  /* folds of ASCII, kinds, powers, inverses */
    unsigned mix;
    int renewed;
    Text text;
    if (!PyArg_ParseTuple(arguments, "Oy*y*y*y*Iw*w*i", &of, tables, tables + 1, tables + 2, tables + 3,
                          &mix, &recent, &old, &renewed))
        return NULL;
    text.at = NULL;
    const uint8_t *folds = tables[0].buf, *kinds = tables[1].buf;
    const uint32_t *powers = tables[2].buf, *inverses = tables[3].buf;
    uint8_t *now = recent.buf, *before = old.buf;
    if (tables[0].len < 128 || tables[1].len != PLANE || tables[2].len < 4 * MOST_READ ||
        tables[3].len < 4 * MOST_READ || recent.len != 1 << (HASH_BITS - 3) || old.len != recent.len) {
        PyErr_SetString(PyExc_ValueError, "expected other tables");
        goto done;
    }
    if (!take(of, &text))
        goto done;
    if (text.size > MOST_READ) {
        PyErr_SetString(PyExc_ValueError, "expected a shorter text");
        goto done;
    }
    uint32_t sums[MOST_READ + 1], hashes[MOST_READ];
    int16_t ends[MOST_READ], starts[MOST_READ];
    uint8_t met[MOST_READ];
    Py_ssize_t unspaced = 0, count = 0;
    sums[0] = 0;
    for (Py_ssize_t n = 0; n < text.size; n++) {
        Py_UCS4 code = text.at[n];
        unspaced += (kind_of(kinds, code) & 7) == 1;
        text.at[n] = code = code < 128 ? folds[code] : code;
        sums[n + 1] = sums[n] + (uint32_t)code * powers[n];
    }
    int dense = 3 * unspaced > text.size;
    for (Py_ssize_t n = 0; n < text.size; n++) {
        int ends_word = text.at[n] != ' ' && (n + 1 == text.size || text.at[n + 1] == ' ');
        if (!ends_word && (!unspaced || (kind_of(kinds, text.at[n]) & 7) != 1))
            continue;
        Py_ssize_t end = n + 1, start = end - (dense ? DENSE_WINDOW : WINDOW);
        ends[count] = (int16_t)end;
        starts[count] = (int16_t)(start > 0 ? start : 0);
        uint32_t hash = (sums[end] - sums[starts[count]]) * inverses[starts[count]] * (uint32_t)mix;
        hashes[count++] = hash >> (32 - HASH_BITS);
    }
    for (Py_ssize_t n = 0; n < count; n++)
        met[n] = (now[hashes[n] >> 3] | before[hashes[n] >> 3]) >> (hashes[n] & 7) & 1;
    if (count > renewed) {
        memcpy(before, now, recent.len);
        memset(now, 0, recent.len);
    }
    for (Py_ssize_t n = 0; n < count; n++)
        now[hashes[n] >> 3] |= (uint8_t)(1 << (hashes[n] & 7));
    if (!(spans = PyList_New(0)))
        goto done;
    for (Py_ssize_t n = 0, first = 0; n <= count; n++) {
        if (n < count && met[n])
            continue;
        if (n - first >= RUN && !append_span(spans, starts[first], ends[n - 1]))
            goto done;
        first = n + 1;
    }
    result = Py_BuildValue("OnO", spans, count, dense ? Py_True : Py_False);
done:
    Py_XDECREF(spans);
    PyMem_Free(text.at);
    for (int n = 0; n < 4; n++)
        PyBuffer_Release(tables + n);
    PyBuffer_Release(&recent);
    PyBuffer_Release(&old);
    return result;
}

/* -- Habits ------------------------------------------------------------------------------------ */

/* Return the CRC-32 of a character as UTF-8 encodes it, after what `crc` is that of. */
static uint32_t crc_of(uint32_t crc, Py_UCS4 sign)
{
    static const uint32_t TABLE[16] = {
        0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
        0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C};
    uint8_t bytes[4];
    int size = sign < 0x80 ? 1 : sign < 0x800 ? 2 : sign < 0x10000 ? 3 : 4;
    for (int n = size - 1; n > 0; n--, sign >>= 6)
        bytes[n] = 0x80 | (sign & 0x3F);
    bytes[0] = (uint8_t)(size == 1 ? sign : (0xF00u << (4 - size) >> 4 & 0xF0) | sign);
    crc = ~crc;
    for (int n = 0; n < size; n++) {
        crc ^= bytes[n];
        crc = crc >> 4 ^ TABLE[crc & 15];
        crc = crc >> 4 ^ TABLE[crc & 15];
    }
    return ~crc;
}

/* Counts.before */
static uint8_t count_before(uint8_t *counts, Py_ssize_t size, uint32_t mark)
{
    uint8_t *one = counts + mark % size, *other = counts + (mark >> 16) % size;
    uint8_t count = *one < *other ? *one : *other, before = count;
    if (count < 255) {
        count++;
        *one = *one > count ? *one : count;
        *other = *other > count ? *other : count;
    }
    return before;
}

/* Counts.counted: bytes, how often each word but the last was counted there with those before it */
static PyObject *kernel_counted(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *of, *result = NULL;
    unsigned mark;
    int backwards;
    Py_buffer counts;
    Text text;
    if (!PyArg_ParseTuple(arguments, "OIpw*", &of, &mark, &backwards, &counts))
        return NULL;
    if (!counts.len)
        PyErr_SetString(PyExc_ValueError, "expected counts");
    else if (take(of, &text)) {
        Py_ssize_t words = 0, start = backwards ? text.size : 0, end;
        for (Py_ssize_t n = 0; n < text.size; n++)
            words += text.at[n] == ' ';
        result = PyBytes_FromStringAndSize(NULL, words);
        uint8_t *into = result ? (uint8_t *)PyBytes_AsString(result) : NULL;
        for (Py_ssize_t n = 0; into && n < words; n++) {
            if (backwards) {
                for (end = start; text.at[start - 1] != ' '; start--) {}
            } else
                for (end = start; text.at[end] != ' '; end++) {}
            for (Py_ssize_t at = start; at < end; at++)
                mark = crc_of(mark, text.at[at]);
            into[n] = count_before(counts.buf, counts.len, mark);
            start = backwards ? start - 1 : end + 1;
        }
        PyMem_Free(text.at);
    }
    PyBuffer_Release(&counts);
    return result;
}

/* -- The module -------------------------------------------------------------------------------- */

static PyMethodDef LEXICON_METHODS[] = {
    {"vector", lexicon_vector, METH_VARARGS, NULL},
    {"share", lexicon_share, METH_VARARGS, NULL},
    {"reads", lexicon_reads, METH_VARARGS, NULL},
    {"unknown", lexicon_unknown, METH_O, NULL},
    {"unknown_if_plain", lexicon_unknown_if_plain, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot LEXICON_SLOTS[] = {
    {Py_tp_new, lexicon_new},
    {Py_tp_dealloc, lexicon_free},
    {Py_tp_methods, LEXICON_METHODS},
    {0, NULL},
};

static PyType_Spec LEXICON = {
    "querybudget.embedding._kernel.Lexicon", sizeof(Lexicon), 0, Py_TPFLAGS_DEFAULT, LEXICON_SLOTS};

static PyMethodDef FUNCTIONS[] = {
    {"ends", kernel_ends, METH_VARARGS, NULL},
    {"met", kernel_met, METH_VARARGS, NULL},
    {"counted", kernel_counted, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int set_up(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &LEXICON, NULL);
    int failed = !type || PyModule_AddObjectRef(module, "Lexicon", type);
    Py_XDECREF(type);
    return failed ? -1 : 0;
}

static PyModuleDef_Slot SLOTS[] = {{Py_mod_exec, set_up}, {0, NULL}};

static PyModuleDef KERNEL = {PyModuleDef_HEAD_INIT, "_kernel", NULL, 0, FUNCTIONS, SLOTS, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernel(void)
{
    return PyModuleDef_Init(&KERNEL);
}
