"""Everyday words, by which small talk is told from a task.

Collected by hand, in the languages most prompts are written in: what people say of themselves and
each other, of the day and the weather, and around a question.
"""
# ruff: noqa: RUF001 - letters of other scripts look like Latin ones because they are letters

from __future__ import annotations

ENGLISH = """
    a an the this that these those it its he she they them we us our i im ive id ill me my mine
    myself you your yours u ur him his her hers their theirs somebody someone anyone anybody
    everyone everybody nobody one ones something anything nothing everything is are was were be
    been being am has have had having do does did done doing will would can could may might must
    shall should dont doesnt didnt cant couldnt wont wouldnt isnt arent wasnt werent havent hasnt
    hadnt shouldnt not no nor and or but so because cause cos cuz since as if than then though
    although while until till when whenever where what who how why which whose whatever of in on
    at by for with from to into onto about over under after before during without within through
    across against around off up down out near behind between along here there now today tonight
    yesterday tomorrow again still yet already always never often ever sometimes maybe perhaps
    once twice soon later just only also too even really very quite rather pretty much many more
    most some any all both each every few little bit lot lots enough such same other another else
    own less least last next first second third ok okay oh ah uh um er hm hmm hmmm well yes yeah
    yep yup nope nah please pls thanks thank thx ty cheers ta hi hey hello hiya heya yo howdy
    greetings morning evening afternoon night day days week weeks weekend month months year years
    hour hours minute minutes moment moments time times monday tuesday wednesday thursday friday
    saturday sunday holiday holidays summer winter spring autumn lunch dinner breakfast coffee tea
    break bed sorry welcome bye goodbye see cya dear sir madam team folks guys friend friends
    buddy mate mates pal dude bro love appreciated appreciate grateful gratitude obliged bother
    bug disturb trouble hassle interrupt owe good great fine nice lovely wonderful awesome amazing
    cool super brilliant perfect excellent best better bad badly worse worst terrible awful sunny
    rainy cold warm wet busy quiet calm tired exhausted sleepy awake bored curious interested
    puzzled confused lost stuck unsure sure certain afraid glad happy sad excited nervous worried
    annoyed embarrassed silly stupid dumb crazy funny weird strange odd hard easy tough tricky
    quick quickly slow slowly short long small big tiny new old young right wrong true real honest
    kind patient helpful clever smart star stars legend gem angel lifesaver hero genius treasure
    champ hope hoping hoped hopes wonder wondering wondered think thinking thought thinks guess
    guessing guessed know knowing knew known knows understand understood understanding believe
    feel feeling felt feels mean meaning means meant remember forgot forget remind reminded figure
    figured figuring sleep slept wake woke ask asks asking asked tell tells telling told say says
    saying said talk talks talking talked chat chatting chatted speak hear hearing heard listen
    mention mentioned argue argued arguing discuss discussing discussed bet bets promise promised
    wants want wanted wanting need needs needed needing like likes liked loves loved hate hates
    hated wish wished help helps helped helping try tries tried trying get gets got getting gotten
    go goes going went gone come comes coming came take takes took taking give gives gave giving
    make makes made making keep keeps kept let lets put start started starting stop stopped work
    works worked working look looks looked looking read reading reads sees saw seen seeing watch
    watched watching show showed use used using find found finding happen happens happened
    struggle struggling struggled sit sitting sat stand walk walked walking drive driving run
    running play playing eat eating eaten drink drinking live lives living learn learning learned
    study studying settle settled reckon spend spent thing things stuff matter question questions
    query queries problem problems issue favour favor idea ideas clue thoughts opinion opinions
    advice hand answer answers note notes list homework project task mind way ways reason point
    points sense fun luck part sort people person mother mum mom mama dad father papa parents
    brother sister son daughter kid kids child children baby wife husband girlfriend boyfriend
    partner aunt uncle cousin grandma grandpa grandmother grandfather nan granny family neighbour
    neighbor neighbours neighbors flatmate roommate colleague colleagues coworker boss manager
    teacher professor doctor dentist classmate student students client clients home house kitchen
    garden office school class college uni university bus train car plane road street gym pool
    park shop store pub bar phone computer laptop screen chair desk table sofa couch cat dog
    weather rain sun world life chatgpt assistant ai bot lol haha hahaha hehe btw anyway anyways
    actually honestly basically literally seriously obviously apparently probably possibly
    hopefully kindly simply finally lately recently wanna gonna gotta kinda sorta dunno lemme
    gimme yall ya yer thats whats hows wheres theres heres shes hes theyre youre youll youve weve
    ugh phew wow whoa argh oops yay sigh far close ago away back forward together apart alone
    inside outside
"""
"""Without apostrophes."""

OTHERS = """
    hallo guten morgen tag abend ich bin mir mich mein meine du dein sie ihr wir uns und oder aber
    ist war sind hab habe hatte mal gerade heute gestern frage bitte danke vielen dank lieb gruß
    grüße hoffe geht gut dir ihnen freund freundin schwester bruder chef mutter vater kollege
    wollte wissen fragen gefragt das die der den dem ein eine es so ja nein nicht noch schon sehr
    auch mit zu auf in von für hilfe helfen könnt könntest kannst können bonjour salut bonsoir je
    suis j ai me mon ma mes tu ton vous votre nous et ou mais est était une un le la les de des
    que qui ce c merci beaucoup s il te plaît espère vas va bien ça soeur frère ami amie mère père
    collègue patron demandé question aujourd hui hier aider aide peux pouvez voulais savoir avance
    très pour avec dans sur en ne pas d l m t hola buenos buenas días tardes noches yo soy estoy
    mi mis tú usted su nosotros y o pero era una el los las del gracias muchas por favor espero
    estés estás hermana hermano amigo amiga madre padre jefe preguntó pregunta hoy ayer ayudar
    ayuda puedes quería saber antemano muy para con no sí lo se al olá oi bom dia boa tarde noite
    eu sou estou meu minha você seu sua nós e mas é uma um a os as do da obrigado obrigada esteja
    tudo bem irmã irmão mãe pai chefe perguntou pergunta hoje ontem ajudar ajuda pode queria muito
    com em não sim ciao buongiorno buonasera io sono mio mia tuo lei suo noi è gli di della che
    grazie mille per favore spero stia stai bene sorella fratello amico amica capo chiesto domanda
    oggi ieri aiutare aiuto puoi volevo sapere molto non sì привет здравствуйте добрый день вечер
    утро я меня мне мой моя ты тебя тебе твой вы вас вам мы нас нам и или но это был была спасибо
    большое пожалуйста надеюсь всё все хорошо дела сестра брат друг подруга мама папа начальник
    спросил спросила вопрос сегодня вчера помочь помоги помогите можешь можете хотел хотела узнать
    заранее очень для с в на не да нет у как
"""
"""Of seven other languages."""

PERSONS = """
    ok u ur im ive id ill youre youve youll dear thank appreciated cheers ta hope sorry sister
    anyway haha lol ugh
"""
"""Show a person, beside the pronouns and courtesies among the style features' words."""

ASKED = """
    argue argued arguing ask asked asking asks bet bets chat chatted chatting clue confused
    curious demandé discuss discussed discussing domanda feel felt frage fragen hear heard help
    helped helping helps hope hoped hopes hoping idea ideas knew know known knows lost mention
    mentioned notes opinion pergunta pregunta puzzled question questions reading reckon remember
    remind reminded saber said sapere savoir say saying says settle stuck sure talk talked talking
    tell telling tells think thinking thinks thought thoughts told understand understood wants
    wissen wonder wondered wondering wonders вопрос спросил узнать
"""
"""What a person does with a question, and how it feels."""

COURTEOUS = """
    dank dear appreciated cheers ta sorry anyway haha ugh morning evening welcome bye salut ciao
"""
"""Courtesies, beside those among the style features' words."""

PLAIN = """
    no yes well sure da ja sim non nein
"""
"""Courtesies there that may as well begin an answer."""

GREETINGS = """
    bonjour cheers ciao danke dear evening gracias grazie greetings hallo hello hey heya hi hiya
    hola howdy merci morning obrigado olá regards salut ta thank thanks thx yo привет спасибо
"""
"""Begin a greeting, or thanks."""

UNSPACED = """
    你好 您好 谢谢 谢谢你 谢谢您 请问 早上好 こんにちは ありがとう ありがとうございます お願いします
    안녕하세요 감사합니다
"""
"""Greetings and thanks in scripts without spaces."""

TASKS = """
    how answer calculate classify compare complete compute convert create describe design
    determine edit evaluate explain find generate give identify imagine implement provide rewrite
    solve suggest summarize translate what which who whom whose why write
"""
"""Begin a task."""

BEGINNINGS = """
    and anyway but can could haha hello hey hi hmm i id ill im ive just lol my no now oh ok okay
    one please so sorry ugh we well would yeah yes
"""
"""Begin an introduction that no sign ends."""

ENDINGS = """
    and any because but can cheers cos could cuz do does have how i is like many much so ta thank
    thanks what
    vielen danke merci gracias muchas grazie obrigado obrigada спасибо
"""
"""Begin an afterthought before which no sign is."""

AFTER_ASKED = """
    and but her him if it just lol me so that them these this those u us whether you
"""
"""Still belong to those of `ASKED` before them."""

HINTS = """
    idea ideas thoughts help clue
"""
"""What is asked for besides the task."""
