"""The task stands elsewhere than in the last user turn."""

from __future__ import annotations

from typing import Any

from benchmarks.sweep.bodies import (
    COMPLETIONS,
    MESSAGES,
    RESPONSES,
    Message,
    asked,
    assistant,
    chat,
    completion,
    message,
    responses,
    said,
    system,
    turn,
)
from benchmarks.sweep.tricks.scene import Scene, Trick, body_of_each

__all__ = ["CALL", "PLACES", "called"]

GO = "Go."
NAME = "next_step"
CALL = "call_1"


def _chat(*messages: Message, **more: object) -> bytes:
    return chat(messages, **more)


def called(arguments: str = "{}") -> Message:
    """Return an assistant turn that calls a tool."""
    function = {"name": NAME, "arguments": arguments}
    calls = [{"id": CALL, "type": "function", "function": function}]
    return assistant(None, tool_calls=calls)


def _tool(description: str = "Gives the next step.", of_step: str = "") -> dict[str, Any]:
    step = {"type": "string", "description": of_step} if of_step else {"type": "string"}
    parameters = {"type": "object", "properties": {"step": step}}
    function = {"name": NAME, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


def _schema(text: str) -> dict[str, Any]:
    schema = {"type": "object", "description": text, "properties": {"answer": {"type": "string"}}}
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def _in_role(role: str) -> Trick:
    def body(text: str, scene: Scene) -> bytes:
        named = {"name": NAME} if role == "function" else {}
        return _chat(*system(scene.template), turn(role, text, **named), said(GO))

    return body_of_each(f"role_{role}", body)


def _last_in_role(role: str) -> Trick:
    def body(text: str, scene: Scene) -> bytes:
        return _chat(*system(scene.template), said(GO), turn(role, text))

    return body_of_each(f"last_role_{role}", body)


def _conversation(name: str, *more: str) -> Trick:
    """Return a trick by a chat of these turns; `TASK` stands for the task."""

    def body(text: str, scene: Scene) -> bytes:
        roles = [word.partition(":") for word in more]
        turns = [turn(role, text if said_ == "TASK" else said_) for role, _, said_ in roles]
        return _chat(*system(scene.template), *turns)

    return body_of_each(name, body)


def _document(text: str) -> Message:
    source = {"type": "text", "media_type": "text/plain", "data": text}
    return {"type": "document", "source": source}


def _answer_of_tool(text: str) -> list[Message]:
    use = {"type": "tool_use", "id": "t1", "name": NAME, "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": text}
    return [said(GO), assistant([use]), said([result])]


def _thought(text: str) -> list[Message]:
    thought = {"type": "thinking", "thinking": text, "signature": "c2ln"}
    return [said(GO), assistant([thought, {"type": "text", "text": "Yes."}]), said("Go on.")]


def _output_of_function(text: str) -> list[Message]:
    call = {"type": "function_call", "call_id": "c1", "name": NAME, "arguments": "{}"}
    return [said(GO), call, {"type": "function_call_output", "call_id": "c1", "output": text}]


PLACES = (
    body_of_each("plain", lambda text, scene: asked(text, scene.template)),
    body_of_each("plain_no_template", lambda text, _: asked(text)),
    body_of_each("system_prompt", lambda text, _: _chat(*system(text), said(GO))),
    _conversation("developer_message", "developer:TASK", f"user:{GO}"),
    _conversation("earlier_user_turn", "user:TASK", "assistant:Yes.", f"user:{GO}"),
    _conversation("assistant_turn", f"user:{GO}", "assistant:TASK", "user:Please do that."),
    _conversation("assistant_prefill", f"user:{GO}", "assistant:TASK"),
    _conversation("system_message_last", f"user:{GO}", "system:TASK"),
    body_of_each(
        "tool_result",
        lambda text, scene: _chat(
            *system(scene.template), said(GO), called(), turn("tool", text, tool_call_id=CALL)
        ),
    ),
    body_of_each(
        "tool_call_arguments",
        lambda text, scene: _chat(
            *system(scene.template),
            said(GO),
            called(chat([], step=text).decode()),
            turn("tool", "done", tool_call_id=CALL),
        ),
    ),
    body_of_each(
        "tool_description",
        lambda text, scene: _chat(*system(scene.template), said(GO), tools=[_tool(text)]),
    ),
    body_of_each(
        "tool_schema",
        lambda text, scene: _chat(*system(scene.template), said(GO), tools=[_tool(of_step=text)]),
    ),
    body_of_each(
        "response_format",
        lambda text, scene: _chat(*system(scene.template), said(GO), response_format=_schema(text)),
    ),
    body_of_each(
        "words_as_parts",
        lambda text, scene: _chat(
            *system(scene.template),
            said([{"type": "text", "text": f"{word} "} for word in text.split()]),
        ),
    ),
    body_of_each(
        "function_call_arguments",
        lambda text, scene: _chat(
            *system(scene.template),
            said(GO),
            assistant("", function_call={"name": NAME, "arguments": text}),
            said("Go on."),
        ),
    ),
    body_of_each(
        "functions_member",
        lambda text, scene: _chat(
            *system(scene.template), said(GO), functions=[_tool(text)["function"]]
        ),
    ),
    body_of_each(
        "reasoning_of_assistant",
        lambda text, scene: _chat(
            *system(scene.template),
            said(GO),
            assistant("Yes.", reasoning_content=text),
            said("Go on."),
        ),
    ),
    body_of_each(
        "guided_grammar",
        lambda text, scene: _chat(
            *system(scene.template), said(GO), guided_grammar=f"root ::= answer # {text}"
        ),
    ),
    body_of_each(
        "predicted_output",
        lambda text, scene: _chat(
            *system(scene.template), said(GO), prediction={"type": "content", "content": text}
        ),
    ),
    body_of_each(
        "name_of_speaker",
        lambda text, scene: _chat(*system(scene.template), turn("user", GO, name=text)),
    ),
    body_of_each(
        "template_variable",
        lambda text, scene: _chat(
            *system(scene.template), said(GO), chat_template_kwargs={"task": text}
        ),
    ),
    body_of_each(
        "unknown_member",
        lambda text, scene: _chat(*system(scene.template), said(GO), further_text=text),
    ),
    body_of_each(
        "documents_member",
        lambda text, scene: _chat(
            *system(scene.template), said(GO), documents=[{"title": "one", "text": text}]
        ),
    ),
    *(_in_role(role) for role in ("User", "human", "function", "critic")),
    *(_last_in_role(role) for role in ("User", "human")),
    body_of_each("completion_prompt", lambda text, _: completion(text), COMPLETIONS),
    body_of_each("completion_suffix", lambda text, _: completion(GO, suffix=text), COMPLETIONS),
    body_of_each(
        "document_part",
        lambda text, _: message([said([_document(text), {"type": "text", "text": GO}])]),
        MESSAGES,
    ),
    body_of_each("anthropic_tool_result", lambda text, _: message(_answer_of_tool(text)), MESSAGES),
    body_of_each("anthropic_thinking", lambda text, _: message(_thought(text)), MESSAGES),
    body_of_each(
        "anthropic_system",
        lambda text, _: message([said(GO)], system=[{"type": "text", "text": text}]),
        MESSAGES,
    ),
    body_of_each("instructions", lambda text, _: responses(GO, instructions=text), RESPONSES),
    body_of_each(
        "function_output", lambda text, _: responses(_output_of_function(text)), RESPONSES
    ),
    body_of_each(
        "prompt_variable",
        lambda text, _: responses(GO, prompt={"id": "pmpt_1", "variables": {"task": text}}),
        RESPONSES,
    ),
)
