"""A request of each dialect with text wherever its servers document one.

``<3 fed>`` stands for a text: the third that the model reads, on that channel. Texts whose place in
the prompt servers do not document alike have the same number.
"""

from __future__ import annotations

from typing import Any

PNG = "data:image/png;base64,QUJD"


def tool(number: int) -> Any:
    return {
        "name": f"<{number} fed>",
        "description": f"<{number} fed>",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string", "description": f"<{number} fed>"}},
        },
    }


CHAT = {
    "model": "m",
    "stream": True,
    "chat_template": "<1 said>",
    "tools": [{"type": "function", "function": tool(2)}],
    "functions": [tool(3)],
    "documents": [{"title": "<4 fed>", "text": "<4 fed>"}],
    "messages": [
        {"role": "system", "content": "<5 fed>"},
        {"role": "developer", "content": [{"type": "text", "text": "<6 fed>"}]},
        {"role": "user", "content": "<7 said>"},
        {"role": "User", "content": "<8 said>"},
        {"role": "human", "content": "<9 said>"},
        {"role": "<10 said>", "content": "<11 said>"},
        {"role": "function", "name": "<12 fed>", "content": "<13 fed>"},
        {
            "role": "assistant",
            "content": "<14 fed>",
            "reasoning_content": "<15 fed>",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "<16 fed>", "arguments": "<17 fed>"},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "<18 fed>"},
        {
            "role": "user",
            "name": "<19 said>",
            "content": [
                {"type": "text", "text": "<20 said>"},
                {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                {"type": "file", "file": {"filename": "<21 fed>", "file_data": "QUJD"}},
                {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
                {"type": "input_text", "text": "<22 said>"},
            ],
        },
        {"role": "assistant", "content": "<23 fed>"},
    ],
    "chat_template_kwargs": {"hint": "<24 said>"},
    "prompt_variables": {"place": "<25 said>"},
    "response_format": {
        "type": "json_schema",
        "json_schema": {
            "name": "<26 fed>",
            "schema": {"type": "object", "properties": {"a": {"description": "<26 fed>"}}},
        },
    },
    "guided_json": {"description": "<26 fed>"},
    "guided_regex": "<26 fed>",
    "guided_grammar": "<26 fed>",
    "guided_choice": ["<26 fed>"],
    "structured_outputs": {"regex": "<26 fed>"},
    "prediction": {"type": "content", "content": "<26 fed>"},
    "prompt_id": "pmpt_1",
    "logit_bias": {"5": 3},
}

RESPONSES = {
    "tools": [{"type": "function", **tool(1)}, {"type": "mcp", "server_description": "<1 fed>"}],
    "instructions": "<2 fed>",
    "input": [
        {"role": "developer", "content": "<3 fed>"},
        {"role": "user", "content": [{"type": "input_text", "text": "<4 said>"}]},
        {"type": "message", "role": "assistant", "content": "<5 fed>"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"text": "<6 fed>"}]},
        {"type": "function_call", "call_id": "c", "name": "<7 fed>", "arguments": "<8 fed>"},
        {"type": "function_call_output", "call_id": "c", "output": "<9 fed>"},
        {"type": "custom_tool_call", "name": "f", "input": "<10 fed>"},
        {"type": "custom_tool_call_output", "output": [{"type": "input_text", "text": "<11 fed>"}]},
        {"type": "item_reference", "id": "msg_1"},
        {"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]},
        {"role": "user", "content": [{"type": "input_image", "image_url": PNG}]},
    ],
    "prompt": {"id": "pmpt_1", "version": "2", "variables": {"city": "<12 said>"}},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {"title": "<13 fed>"}}},
    "previous_response_id": "resp_1",
    "conversation": {"id": "conv_1"},
}

COMPLETIONS = {
    "model": "m",
    "prompt": ["<1 said>", [1, 2, 3], "<2 said>"],
    "suffix": "<3 said>",
    "prompt_embeds": "QUJD",
}

EMBEDDINGS = {"model": "m", "input": ["<1 said>", "<2 said>", [4, 5]], "instruction": "<3 said>"}

MESSAGES = {
    "model": "m",
    "max_tokens": 9,
    "tools": [{"name": "t", "description": "<1 fed>", "input_schema": {"title": "<1 fed>"}}],
    "system": [{"type": "text", "text": "<2 fed>", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {
                    "type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": "<3 fed>"},
                    "title": "<4 fed>",
                    "context": "<5 fed>",
                },
                {
                    "type": "document",
                    "source": {"type": "content", "content": [{"type": "text", "text": "<6 fed>"}]},
                },
                {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"},
                },
                {
                    "type": "search_result",
                    "source": "<7 fed>",
                    "title": "<8 fed>",
                    "content": [{"type": "text", "text": "<9 fed>"}],
                },
                {"type": "text", "text": "<10 said>"},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "<11 fed>", "signature": "QUJD"},
                {"type": "text", "text": "<12 fed>"},
                {"type": "tool_use", "id": "tu", "name": "t", "input": {"place": "<13 fed>"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "tu",
                    "content": [{"type": "text", "text": "<14 fed>"}],
                },
                {"type": "text", "text": "<15 said>"},
            ],
        },
        {"role": "assistant", "content": "<16 fed>"},
    ],
}

GEMINI = {
    "tools": [{"functionDeclarations": [{"name": "f", "description": "<1 fed>"}]}],
    "systemInstruction": {"parts": [{"text": "<2 fed>"}]},
    "contents": [
        {
            "role": "user",
            "parts": [
                {"text": "<3 said>"},
                {"inlineData": {"mimeType": "image/png", "data": "QUJD"}},
                {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://x"}},
            ],
        },
        {
            "role": "model",
            "parts": [
                {"functionCall": {"name": "f", "args": {"a": "<4 fed>"}}},
                {"executableCode": {"language": "PYTHON", "code": "<5 fed>"}},
                {"codeExecutionResult": {"outcome": "OK", "output": "<6 fed>"}},
            ],
        },
        {
            "role": "function",
            "parts": [{"functionResponse": {"name": "f", "response": {"r": "<7 fed>"}}}],
        },
        {"parts": [{"text": "<8 said>"}]},
    ],
    "generationConfig": {"temperature": 1, "responseSchema": {"description": "<9 fed>"}},
    "cachedContent": "cachedContents/1",
}

OLLAMA_CHAT = {
    "model": "m",
    "tools": [{"type": "function", "function": tool(1)}],
    "messages": [
        {"role": "system", "content": "<2 fed>"},
        {"role": "user", "content": "<3 said>", "images": ["QUJD"]},
        {"role": "assistant", "thinking": "<4 fed>", "content": "<5 fed>"},
        {
            "role": "assistant",
            "tool_calls": [{"function": {"name": "f", "arguments": {"a": "<6 fed>"}}}],
        },
        {"role": "tool", "tool_name": "f", "content": "<7 fed>"},
    ],
    "format": {"type": "object", "properties": {"a": {"description": "<8 fed>"}}},
    "options": {"temperature": 1},
}

OLLAMA_GENERATE = {
    "model": "m",
    "template": "<1 said>",
    "system": "<2 fed>",
    "prompt": "<3 said>",
    "images": ["QUJD"],
    "context": [1, 2],
    "suffix": "<4 said>",
}

TGI = {
    "inputs": "<1 said>",
    "parameters": {"max_new_tokens": 3, "grammar": {"type": "regex", "value": "<2 fed>"}},
}

SGLANG = {
    "text": ["<1 said>", "<2 said>"],
    "image_data": ["QUJD"],
    "sampling_params": {"n": 1, "regex": "<3 fed>", "json_schema": "<3 fed>", "ebnf": "<3 fed>"},
}

LLAMA_CPP = {
    "input_extra": [{"filename": "<1 fed>", "text": "<2 fed>"}],
    "input_prefix": "<3 said>",
    "prompt": ["<4 said>", 12, 13],
    "input_suffix": "<5 said>",
    "grammar": "<6 fed>",
}

CONVERSE = {
    "toolConfig": {"tools": [{"toolSpec": {"name": "f", "description": "<1 fed>"}}]},
    "system": [{"text": "<2 fed>"}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"text": "<3 said>"},
                {"document": {"format": "txt", "name": "<4 fed>", "source": {"text": "<5 fed>"}}},
                {"image": {"format": "png", "source": {"bytes": "QUJD"}}},
            ],
        },
        {
            "role": "assistant",
            "content": [{"toolUse": {"toolUseId": "1", "input": {"a": "<6 fed>"}}}],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "1", "content": [{"json": {"a": "<7 fed>"}}]}}
            ],
        },
    ],
    "promptVariables": {"a": {"text": "<8 said>"}},
    "inferenceConfig": {"maxTokens": 3},
}

COHERE = {
    "preamble": "<1 fed>",
    "documents": [{"id": "1", "data": {"snippet": "<2 fed>"}}],
    "chat_history": [
        {"role": "USER", "message": "<3 said>"},
        {"role": "CHATBOT", "message": "<4 fed>"},
    ],
    "message": "<5 said>",
    "tool_results": [{"call": {"name": "f"}, "outputs": [{"a": "<6 fed>"}]}],
}

RUNS = {
    "assistant_id": "asst_1",
    "instructions": "<1 fed>",
    "additional_instructions": "<2 fed>",
    "additional_messages": [{"role": "user", "content": "<3 said>"}],
}

INSTANCES = {
    "instances": [{"prompt": "<1 said>"}, {"messages": [{"role": "user", "content": "<2 said>"}]}],
    "parameters": {"temperature": 1},
}

BATCH = {
    "requests": [
        {"custom_id": "1", "params": {"messages": [{"role": "user", "content": "<1 said>"}]}},
        {"custom_id": "2", "params": {"messages": [{"role": "user", "content": "<2 said>"}]}},
    ]
}

CHATS = {
    "messages": [
        [{"role": "user", "content": "<1 said>"}],
        [{"role": "user", "content": "<2 said>"}],
    ]
}

BODIES: dict[str, tuple[str, Any]] = {
    "chat": ("chat", CHAT),
    "chats": ("chat_batch", CHATS),
    "responses": ("responses", RESPONSES),
    "completions": ("completions", COMPLETIONS),
    "embeddings": ("embeddings", EMBEDDINGS),
    "messages": ("messages", MESSAGES),
    "batch of messages": ("message_batch", BATCH),
    "gemini": ("gemini", GEMINI),
    "ollama chat": ("ollama_chat", OLLAMA_CHAT),
    "ollama generate": ("ollama_generate", OLLAMA_GENERATE),
    "tgi": ("tgi", TGI),
    "sglang": ("sglang", SGLANG),
    "llama.cpp": ("llama_cpp", LLAMA_CPP),
    "converse": ("converse", CONVERSE),
    "cohere chat": ("cohere_chat", COHERE),
    "runs": ("runs", RUNS),
    "instances": ("any", INSTANCES),
    "chat anywhere": ("any", CHAT),
    "rerank": ("rerank", {"query": "<2 said>", "documents": ["<1 fed>", {"text": "<1 fed>"}]}),
    "score": ("score", {"text_1": "<1 said>", "text_2": ["<2 said>"]}),
    "images": ("images", {"prompt": "<1 said>", "negative_prompt": "<2 said>", "n": 2}),
    "speech": ("speech", {"instructions": "<1 fed>", "input": "<2 said>", "voice": "alloy"}),
    "moderations": ("moderations", {"input": [{"type": "text", "text": "<1 said>"}]}),
}
"""Readers and bodies, by names."""
