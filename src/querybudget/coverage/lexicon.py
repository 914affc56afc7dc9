"""Word lists behind the style features, in the languages most prompts are written in.

Each list is a mark; a word may have several. They are everyday words of each language, collected
by hand: pronouns, greetings, question words, the verbs that exercises begin with.
"""
# ruff: noqa: RUF001 - letters of other scripts look like Latin ones because they are letters

from __future__ import annotations

FIRST, COURTESY, REFERENCE, ASKING, ORDER = 1, 2, 4, 8, 16
REASONING, JUDGING, FORMAT, SECOND = 32, 64, 128, 256

_WORDS = {
    FIRST: """
        i im ive me my mine myself we us our ours ich mir mich mein meine meinen wir uns je
        j mon ma mes moi nous notre yo mi mis nosotros nuestro eu meu minha meus nossa io
        mio mia noi nostro ik mij mijn ons jag mig min mitt vi jeg meg я мне меня мой моя
        мои мы нас нам наш ja mnie mój moja ben benim bana beni biz bizim saya aku kami kita
        tôi أنا انا نحن मैं मुझे मेरा मेरी हम
    """,
    COURTESY: """
        please thanks thank hi hello hey sorry ok okay yes no yeah yep nope thx pls lol hmm
        well oh um uh great cool sure bitte danke hallo ja nein merci bonjour salut oui non
        gracias hola sí obrigado olá sim grazie ciao спасибо привет да нет пожалуйста
        dziękuję teşekkürler merhaba evet terima شكرا مرحبا नमस्ते धन्यवाद
    """,
    REFERENCE: """
        it its that this those these they them he him his she her hers ones then also too
        instead again same another there das dies diese dieser dort auch ihn ihm ihr ça cela
        ceci celui elle lui eso esto ese aquello ella isso isto ele ela questo quello lei
        это этот эта эти он она они его её их тоже
    """,
    ASKING: """
        what whats how why when where who which whose whom is are was were do does did can
        could would should will am has have wie warum wann wo wer welche welcher ist sind
        kann que quoi quel quelle comment pourquoi quand où qui est qué cómo cuál cuándo
        dónde quién como qual quando onde quem cosa chi dove perché wat hoe waarom что как
        почему когда где кто какой какие co jak dlaczego ne nasıl neden apa bagaimana
        mengapa ما ماذا كيف لماذا मतलब क्या कैसे क्यों
    """,
    ORDER: """
        write explain describe create generate give list find calculate compute solve
        determine identify classify translate summarize summarise rewrite design compare
        discuss provide suggest imagine answer implement complete convert edit evaluate
        analyze analyse propose develop construct consider suppose make name tell choose
        select read add sort define outline predict rate fill return output prove simplify
        act play pretend schreibe erkläre beschreibe erstelle übersetze berechne nenne écris
        écrivez expliquez explique décrivez traduis traduisez calculez donnez escribe
        explica traduce calcula haz escreva descreva traduza calcule scrivi spiega descrivi
        traduci schrijf leg напиши напишите объясни опиши переведи реши napisz wyjaśnij yaz
        açıkla tulis jelaskan اكتب اشرح लिखें समझाएं
    """,
    REASONING: """
        reasoning rationale justify justification deduce derive stepwise thinking thoughts
        schritt étape paso passo рассуждение пошагово
    """,
    JUDGING: """
        rate score grade rubric evaluate judge criteria better correct incorrect true false
        plausible bewerte bewertung évalue note evalúa puntuación оцени оценка
    """,
    FORMAT: """
        answer output input options question choices json format following below given
        sentence sentences paragraph passage statement folgenden folgende suivant suivante
        siguiente seguinte следующий
    """,
    SECOND: """
        you your yours yourself du dein sie ihr ihre vous votre tu ton tú usted tus você seu
        lei tuo jij jouw ты вы вас вам тебе sen siz anda kamu أنت आप
    """,
}
"""Words of scripts with spaces, in lower case."""

_PHRASES = {
    FIRST: "我 私 僕 제가 저는 나는 ฉัน ผม",
    COURTESY: "谢谢 你好 ありがとう お願い 감사",
    REFERENCE: "这个 那个 它 他 她 それ これ 그것",
    ASKING: "什么 怎么 如何 为什么 哪 是否 吗 何 どう なぜ 무엇 어떻게 왜",
    ORDER: "请 写 翻译 生成 列出 してください 書いて 해줘 써 하세요",
    REASONING: "推理 一步一步 逐步 步骤",
    JUDGING: "评分 评价 打分 評価",
    FORMAT: "以下 如下 格式 次の 다음",
    SECOND: "你 您 あなた 당신",
}
"""Phrases of scripts without spaces."""


def _marked(lists: dict[int, str]) -> dict[str, int]:
    marks: dict[str, int] = {}
    for mark, words in lists.items():
        for word in words.split():
            marks[word] = marks.get(word, 0) | mark
    return marks


MARKS = _marked(_WORDS)
"""The marks of each word."""

PHRASES = tuple(_marked(_PHRASES).items())
"""(phrase, marks) of the scripts without spaces."""
